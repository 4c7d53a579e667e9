#if canImport(CoreML)
import CoreML
import Foundation
import Segmentation
import XCTest

/// The three steps of this code on the golden cases of `onenet export --tests`:
///
///     ONENET_CASES=cases ONENET_MODELS=models swift test
final class CasesTests: XCTestCase {
    func testEveryStepIsPythons() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let cases = environment["ONENET_CASES"], let models = environment["ONENET_MODELS"] else {
            throw XCTSkip("name the folders of onenet export --tests and --out in ONENET_CASES and ONENET_MODELS")
        }
        let folders = try FileManager.default.contentsOfDirectory(atPath: cases).filter { $0.hasSuffix(".mlpackage") }
        XCTAssertFalse(folders.isEmpty, "\(cases) holds no cases of a Core ML package")
        for name in folders {
            let compiled = try await MLModel.compileModel(at: URL(fileURLWithPath: models).appendingPathComponent(name))
            let app = SampleApp(segmenter: try Segmenter(compiled: compiled, units: .cpuOnly))
            XCTAssertEqual(try OnenetCases.check(app, folder: URL(fileURLWithPath: cases).appendingPathComponent(name)), [])
        }
    }
}

private struct SampleApp: OnenetApp {
    let segmenter: Segmenter

    func preprocess(pixels: Data, width: Int, height: Int) throws -> Data {
        let input = segmenter.manifest.input
        let picture = Picture(width: width, height: height, rgb: [UInt8](pixels))
        return picture.resized(width: input.width, height: input.height).values().withUnsafeBytes { Data($0) }
    }

    func run(input: Data) throws -> [Data] {
        let values = input.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let size = values.count / 3
        let rgb = (0..<values.count).map { UInt8((255 * values[$0 % 3 * size + $0 / 3]).rounded()) }
        let (width, height) = (segmenter.manifest.input.width, segmenter.manifest.input.height)
        let buffer = try segmenter.pixelBuffer(Picture(width: width, height: height, rgb: rgb))
        return [try segmenter.outputs(for: buffer).withUnsafeBytes { Data($0) }]
    }

    func labels(outputs: [Data], width: Int, height: Int) throws -> Data {
        let values = outputs[0].withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        return Data(Mask(of: values, output: segmenter.manifest.output).stretched(width: width, height: height).labels)
    }
}
#endif
