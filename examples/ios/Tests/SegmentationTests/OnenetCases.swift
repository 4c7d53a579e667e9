// Does an app make of a picture what onenet makes of it? Written by `onenet export --tests`; README.md says how it is used.

import Foundation

/// The three steps of your app. A tensor is its bytes, little-endian, in the file's own order of axes and type.
public protocol OnenetApp {
    /// The model's input for a picture of RGB bytes, row by row.
    func preprocess(pixels: Data, width: Int, height: Int) throws -> Data
    /// The model's outputs for an input, in the file's order.
    func run(input: Data) throws -> [Data]
    /// The class of each pixel of the picture, row by row. Not called where the network has no classes for pixels.
    func labels(outputs: [Data], width: Int, height: Int) throws -> Data
}

public enum OnenetCases {
    /// `asked`: of an input, what a value may differ by; of an output, the SQNR in dB that is asked for.
    private struct Tensor {
        let type: String
        let asked: Double
    }

    /// What is wrong, a line each; empty where everything is right.
    public static func check(_ app: OnenetApp, folder: URL) throws -> [String] {
        let read = { (name: String) in try Data(contentsOf: folder.appendingPathComponent(name)) }
        var wrong: [String] = []
        var outputs: [Tensor] = []
        var input = Tensor(type: "float32", asked: 0)
        var share = 0.0
        var cases = 0
        for line in String(decoding: try read("cases.txt"), as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            switch words[0] {
            case "input": input = Tensor(type: words[1], asked: Double(words[2])!)
            case "output": outputs.append(Tensor(type: words[1], asked: Double(words[2])!))
            case "labels": share = Double(words[1])!
            case "case":
                cases += 1
                let (name, width, height) = (words[1], Int(words[2])!, Int(words[3])!)
                let note = { (step: String, error: String?) in
                    if let error { wrong.append("\(name): \(step): \(error)") }
                }
                let fed = try read("\(name).input.bin")
                let made = try app.preprocess(pixels: try read("\(name).rgb.bin"), width: width, height: height)
                note("preprocessing", farthest(fed, made, input))
                let right = try outputs.indices.map { try read("\(name).output\($0).bin") }
                let found = try app.run(input: fed)
                if found.count != right.count {
                    note("inference", "\(found.count) outputs of \(right.count)")
                } else {
                    for i in outputs.indices { note("inference, output \(i)", unlike(right[i], found[i], outputs[i])) }
                }
                if share > 0 {
                    let labels = try app.labels(outputs: right, width: width, height: height)
                    note("postprocessing", mislabelled(try read("\(name).labels.bin"), labels, share))
                }
            default: break
            }
        }
        return cases > 0 ? wrong : ["cases.txt names no case: nothing was compared"]
    }

    private static func farthest(_ right: Data, _ found: Data, _ tensor: Tensor) -> String? {
        let (expected, given) = (values(right, tensor.type), values(found, tensor.type))
        guard given.count == expected.count else { return "\(given.count) values, \(expected.count) asked" }
        let differences = zip(expected, given).map { abs($0 - $1) }
        let failing = differences.indices.filter { !(differences[$0] <= tensor.asked) }
        guard let at = failing.max(by: { differences[$0] < differences[$1] }) else { return nil }
        return "value \(at) is \(given[at]), should be \(expected[at]); \(tensor.asked) is allowed"
    }

    private static func unlike(_ right: Data, _ found: Data, _ tensor: Tensor) -> String? {
        let (expected, given) = (values(right, tensor.type), values(found, tensor.type))
        guard given.count == expected.count else { return "\(given.count) values, \(expected.count) asked" }
        let mean = expected.reduce(0, +) / Double(expected.count)
        let signal = expected.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let noise = zip(expected, given).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let decibels = 10 * log10(signal / noise)
        return noise == 0 || decibels >= tensor.asked ? nil : "\(Int(decibels.rounded())) dB, \(tensor.asked) dB asked"
    }

    private static func mislabelled(_ right: Data, _ found: Data, _ share: Double) -> String? {
        guard found.count == right.count else { return "\(found.count) labels, \(right.count) asked" }
        let equal = zip(right, found).filter { $0 == $1 }.count
        return Double(equal) >= share * Double(right.count) ? nil : "\(equal) of \(right.count) labels are right"
    }

    private static func values(_ data: Data, _ type: String) -> [Double] {
        func all<T>(_ kind: T.Type, _ number: (T) -> Double) -> [Double] {
            data.withUnsafeBytes { bytes in
                stride(from: 0, to: data.count - MemoryLayout<T>.size + 1, by: MemoryLayout<T>.size).map {
                    number(bytes.loadUnaligned(fromByteOffset: $0, as: kind))
                }
            }
        }
        switch type {
        case "float32": return all(Float.self) { Double($0) }
        case "int32": return all(Int32.self) { Double($0) }
        case "int64": return all(Int64.self) { Double($0) }
        case "uint8": return all(UInt8.self) { Double($0) }
        default: return all(Int8.self) { Double($0) }
        }
    }
}
