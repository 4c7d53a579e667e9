// The plain Swift part of examples/ios on golden cases: main MANIFEST CASES. The model's outputs are those of the cases.

import Foundation

struct Core: OnenetApp {
    let manifest: Manifest
    let cases: URL

    func preprocess(pixels: Data, width: Int, height: Int) throws -> Data {
        let picture = Picture(width: width, height: height, rgb: [UInt8](pixels))
        let fitted = picture.resized(width: manifest.input.width, height: manifest.input.height)
        return fitted.values().withUnsafeBytes { Data($0) }
    }

    func run(input: Data) throws -> [Data] {
        for name in ["whole", "larger", "smaller"] {
            if try Data(contentsOf: cases.appendingPathComponent("\(name).input.bin")) == input {
                return [try Data(contentsOf: cases.appendingPathComponent("\(name).output0.bin"))]
            }
        }
        return []
    }

    func labels(outputs: [Data], width: Int, height: Int) throws -> Data {
        let values = outputs[0].withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        return Data(Mask(of: values, output: manifest.output).stretched(width: width, height: height).labels)
    }
}

do {
    let places = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
    let manifest = try Manifest.read(String(decoding: try Data(contentsOf: places[0]), as: UTF8.self))
    for line in try OnenetCases.check(Core(manifest: manifest, cases: places[1]), folder: places[1]) { print(line) }
    let picture = Picture(width: 2, height: 1, rgb: [100, 0, 255, 9, 8, 7])
    let mask = Mask(of: [0, 1, 1, 0], output: Manifest.Tensor(name: "", role: "logits", shape: [1, 2, 1, 2]))
    let classes = [Manifest.Class(name: "none", colour: "#000000"), Manifest.Class(name: "one", colour: "#e69f00")]
    print(mask.over(picture, classes: classes).rgb, mask.summary(classes: classes))
} catch {
    print("refused: \(error.localizedDescription)")
}
