/// An upright picture: RGB, one byte each, row by row.
public struct Picture: Sendable {
    public let width: Int
    public let height: Int
    public let rgb: [UInt8]

    public init(width: Int, height: Int, rgb: [UInt8]) {
        precondition(rgb.count == 3 * width * height)
        self.width = width
        self.height = height
        self.rgb = rgb
    }

    /// In another size: bilinear with antialiasing, in whole numbers. onenet's Python, which calibrated the model, gives the
    /// same bytes. Vision and Core Graphics scale in another way.
    public func resized(width newWidth: Int, height newHeight: Int) -> Picture {
        let wide = newWidth == width ? rgb : resizedRows(newWidth)
        let high = newHeight == height ? wide : resizedColumns(wide, newWidth, newHeight)
        return Picture(width: newWidth, height: newHeight, rgb: high)
    }

    /// What the model's input holds: red, green and blue one after the other, each in [0, 1].
    public func values() -> [Float] {
        (0..<3).flatMap { channel in
            stride(from: channel, to: rgb.count, by: 3).map { Float(rgb[$0]) / 255 }
        }
    }

    private static let bits = 22
    private static let half: Int32 = 1 << Int32(bits - 1)

    private struct Weights {
        let first: Int
        let whole: [Int32]
    }

    /// For each place of the result, the first place of the source that counts, and the weights from there on.
    private static func weights(from: Int, to: Int) -> [Weights] {
        let scale = Double(from) / Double(to)
        let support = max(scale, 1)
        return (0..<to).map { place in
            let centre = (Double(place) + 0.5) * scale
            let first = max(Int(centre - support + 0.5), 0)
            let end = min(Int(centre + support + 0.5), from)
            let plain = (first..<end).map { max(1 - abs(Double($0) - centre + 0.5) / support, 0) }
            let sum = plain.reduce(0, +)
            return Weights(first: first, whole: plain.map { Int32(0.5 + $0 / sum * Double(1 << bits)) })
        }
    }

    private func resizedRows(_ newWidth: Int) -> [UInt8] {
        let weights = Picture.weights(from: width, to: newWidth)
        var result = [UInt8](repeating: 0, count: 3 * newWidth * height)
        var at = 0
        for row in 0..<height {
            for place in weights {
                for channel in 0..<3 {
                    var sum = Picture.half
                    var from = 3 * (row * width + place.first) + channel
                    for weight in place.whole {
                        sum += Int32(rgb[from]) * weight
                        from += 3
                    }
                    result[at] = UInt8(sum >> Int32(Picture.bits))
                    at += 1
                }
            }
        }
        return result
    }

    private func resizedColumns(_ rows: [UInt8], _ newWidth: Int, _ newHeight: Int) -> [UInt8] {
        let length = 3 * newWidth
        var result = [UInt8](repeating: 0, count: length * newHeight)
        for (row, place) in Picture.weights(from: height, to: newHeight).enumerated() {
            for x in 0..<length {
                var sum = Picture.half
                var from = place.first * length + x
                for weight in place.whole {
                    sum += Int32(rows[from]) * weight
                    from += length
                }
                result[row * length + x] = UInt8(sum >> Int32(Picture.bits))
            }
        }
        return result
    }
}
