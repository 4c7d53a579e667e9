#if canImport(CoreML)
import CoreML
import CoreVideo
import Foundation

/// A package that `onenet export --target coreml` wrote, in Core ML.
public final class Segmenter {
    public let manifest: Manifest
    private let model: MLModel

    public struct Times: Sendable {
        public let before: Double
        public let inference: Double
        public let after: Double
    }

    /// - Parameter url: of the compiled model (`.mlmodelc`); Xcode compiles each package of an app's target.
    public init(compiled url: URL, units: MLComputeUnits = .all) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units
        model = try MLModel(contentsOf: url, configuration: configuration)
        let entries = model.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
        guard let text = entries?["onenet"] else { throw Problem("\(url.lastPathComponent) was not exported by onenet.") }
        manifest = try Manifest.read(text)
    }

    /// The class of each pixel of a picture of any size, and the milliseconds of each step.
    public func segment(_ picture: Picture) throws -> (Mask, Times) {
        let began = Date()
        let fed = try pixelBuffer(picture.resized(width: manifest.input.width, height: manifest.input.height))
        let ready = Date()
        let values = try outputs(for: fed)
        let ran = Date()
        let mask = Mask(of: values, output: manifest.output).stretched(width: picture.width, height: picture.height)
        let milliseconds = { (from: Date, to: Date) in 1000 * to.timeIntervalSince(from) }
        let times = Times(
            before: milliseconds(began, ready), inference: milliseconds(ready, ran), after: milliseconds(ran, Date()))
        return (mask, times)
    }

    /// The model's output for a picture of its own size, in the manifest's order of axes.
    public func outputs(for buffer: CVPixelBuffer) throws -> [Float] {
        let fed = try MLDictionaryFeatureProvider(dictionary: [manifest.input.name: MLFeatureValue(pixelBuffer: buffer)])
        guard let array = try model.prediction(from: fed).featureValue(for: manifest.output.name)?.multiArrayValue else {
            throw Problem("\(manifest.name) gave no \(manifest.output.name).")
        }
        return MLShapedArray<Float>(converting: array).scalars
    }

    /// The picture as Core ML takes it. The division by 255 is inside the package.
    public func pixelBuffer(_ picture: Picture) throws -> CVPixelBuffer {
        var made: CVPixelBuffer?
        let options = [kCVPixelBufferIOSurfacePropertiesKey: [:] as CFDictionary] as CFDictionary
        CVPixelBufferCreate(nil, picture.width, picture.height, kCVPixelFormatType_32BGRA, options, &made)
        guard let buffer = made else { throw Problem("There is too little memory for the picture.") }
        CVPixelBufferLockBaseAddress(buffer, [])
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { throw Problem("The picture cannot be written.") }
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        let length = CVPixelBufferGetBytesPerRow(buffer)
        for pixel in 0..<picture.width * picture.height {
            let to = pixel / picture.width * length + pixel % picture.width * 4
            for channel in 0..<3 { bytes[to + 2 - channel] = picture.rgb[3 * pixel + channel] }
            bytes[to + 3] = 255
        }
        return buffer
    }
}
#endif
