import Foundation

/// The class of each pixel of a picture, row by row.
public struct Mask: Sendable {
    public let width: Int
    public let height: Int
    public let labels: [UInt8]

    /// Of a model's output, in its size: the largest value of each pixel, or the labels that it holds.
    public init(of values: [Float], output: Manifest.Tensor) {
        width = output.width
        height = output.height
        let size = width * height
        labels = (0..<size).map { pixel in
            if output.role == "labels" { return UInt8(values[pixel]) }
            var best = 0
            for label in 1..<max(values.count / size, 1) where values[label * size + pixel] > values[best * size + pixel] {
                best = label
            }
            return UInt8(best)
        }
    }

    private init(width: Int, height: Int, labels: [UInt8]) {
        self.width = width
        self.height = height
        self.labels = labels
    }

    /// Stretched to a picture's size: each pixel takes the label that its centre lies in, in whole numbers.
    public func stretched(width newWidth: Int, height newHeight: Int) -> Mask {
        let columns = (0..<newWidth).map { (2 * $0 + 1) * width / (2 * newWidth) }
        let rows = (0..<newHeight).map { (2 * $0 + 1) * height / (2 * newHeight) }
        let stretched = rows.flatMap { row in columns.map { labels[row * width + $0] } }
        return Mask(width: newWidth, height: newHeight, labels: stretched)
    }

    /// The picture with each pixel's class colour over it; the first class, the background, stays clear.
    public func over(_ picture: Picture, classes: [Manifest.Class], opacity: Double = 0.5) -> Picture {
        let part = Int((256 * min(max(opacity, 0), 1)).rounded())
        let palette = classes.map { $0.rgb.map(Int.init) }
        var rgb = picture.rgb
        for (pixel, label) in labels.enumerated() where label > 0 && Int(label) < palette.count {
            for channel in 0..<3 {
                let below = Int(rgb[3 * pixel + channel]) * (256 - part)
                rgb[3 * pixel + channel] = UInt8((below + palette[Int(label)][channel] * part + 128) >> 8)
            }
        }
        return Picture(width: picture.width, height: picture.height, rgb: rgb)
    }

    /// "background 77 %, nucleus 23 %": for people who do not see the colours.
    public func summary(classes: [Manifest.Class]) -> String {
        var counts = [Int](repeating: 0, count: max(classes.count, 256))
        for label in labels { counts[Int(label)] += 1 }
        let seen = classes.indices.filter { counts[$0] > 0 }.sorted { counts[$0] > counts[$1] }
        return seen.map { "\(classes[$0].name) \(Int((100 * Double(counts[$0]) / Double(labels.count)).rounded())) %" }
            .joined(separator: ", ")
    }
}
