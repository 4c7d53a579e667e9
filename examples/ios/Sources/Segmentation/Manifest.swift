import Foundation

/// What cannot be used, in words for people.
public struct Problem: LocalizedError, Sendable {
    public let errorDescription: String?

    public init(_ text: String) {
        errorDescription = text
    }
}

/// What an app must know of a model. `onenet export` puts it into the package, so it is always the one of this model.
public struct Manifest: Decodable, Sendable {
    public static let schema = 1
    /// The preprocessing that `Picture` does.
    public static let preprocessing = "rgb01/resize-bilinear/1"

    public struct Tensor: Decodable, Sendable {
        public let name: String
        public let role: String
        public let shape: [Int]

        public var height: Int { shape[shape.count - 2] }
        public var width: Int { shape[shape.count - 1] }
    }

    public struct Class: Decodable, Sendable {
        public let name: String
        public let colour: String

        /// Red, green and blue of "#rrggbb".
        public var rgb: [UInt8] {
            let value = UInt32(colour.dropFirst(), radix: 16) ?? 0
            return [16, 8, 0].map { UInt8(value >> $0 & 255) }
        }
    }

    public struct Tiling: Decodable, Sendable {
        /// Height and width of the images of which the input is a tile.
        public let image_size: [Int]?
    }

    private struct Version: Decodable {
        let schema: Int
    }

    public let name: String
    public let precision: String
    public let task: String
    public let preprocessing: String
    public let inputs: [Tensor]
    public let outputs: [Tensor]
    public let classes: [Class]
    public let tiling: Tiling?

    public var input: Tensor { inputs[0] }
    public var output: Tensor { outputs[0] }

    /// The manifest in a text, if it is one that this code can use.
    public static func read(_ text: String) throws -> Manifest {
        let data = Data(text.utf8)
        guard let version = try? JSONDecoder().decode(Version.self, from: data) else {
            throw Problem("The model holds no manifest of onenet.")
        }
        guard version.schema == schema else {
            throw Problem("The manifest has schema \(version.schema); this app reads \(schema).")
        }
        guard let manifest = try? JSONDecoder().decode(Manifest.self, from: data) else {
            throw Problem("The manifest is damaged. Export the model again.")
        }
        try manifest.check()
        return manifest
    }

    private func check() throws {
        guard task == "segmentation", inputs.count == 1, outputs.count == 1, input.role == "image",
            input.shape.count == 4, input.shape[0] == 1, input.shape[1] == 3, output.shape.count >= 3,
            input.height == output.height, input.width == output.width
        else {
            throw Problem("This app shows masks of one colour picture; \(name) is for \(task).")
        }
        guard output.role == "labels" || output.shape[1] == classes.count else {
            throw Problem("\(name): \(output.shape[1]) channel for \(classes.count) classes. Export it with --output labels.")
        }
        guard preprocessing == Manifest.preprocessing else {
            throw Problem("\(name) needs the preprocessing \(preprocessing); this app has \(Manifest.preprocessing).")
        }
        if let size = tiling?.image_size, size != [input.height, input.width] {
            throw Problem("\(name) takes tiles of pictures of \(size[1]) x \(size[0]). Export it without --tile.")
        }
    }
}
