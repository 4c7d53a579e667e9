// An app whose three steps answer what lies in a folder: main CASES ANSWERS.

import Foundation

struct Replay: OnenetApp {
    let cases: URL
    let answers: URL

    func preprocess(pixels: Data, width: Int, height: Int) throws -> Data {
        try answer(like: ".rgb.bin", pixels, ".input.bin")
    }

    func run(input: Data) throws -> [Data] {
        [try answer(like: ".input.bin", input, ".output0.bin")]
    }

    func labels(outputs: [Data], width: Int, height: Int) throws -> Data {
        try answer(like: ".output0.bin", outputs[0], ".labels.bin")
    }

    /// The answer of the case that has these bytes.
    private func answer(like end: String, _ bytes: Data, _ wanted: String) throws -> Data {
        for name in ["whole", "larger", "smaller"] {
            if try Data(contentsOf: cases.appendingPathComponent(name + end)) == bytes {
                return try Data(contentsOf: answers.appendingPathComponent(name + wanted))
            }
        }
        fatalError("no case has these bytes")
    }
}

let folders = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
for line in try OnenetCases.check(Replay(cases: folders[0], answers: folders[1]), folder: folders[0]) {
    print(line)
}
