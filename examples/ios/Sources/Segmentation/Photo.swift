#if canImport(ImageIO)
import CoreGraphics
import Foundation
import ImageIO

extension Picture {
    /// The upright picture in a file's bytes. Of a larger one than `longest` pixels a side, a smaller copy is read.
    ///
    /// Transparent places become black, and colour profiles are not applied, as in onenet's Python.
    public init(data: Data, longest: Int = 4096) throws {
        let options: [CFString: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways: true,
            kCGImageSourceCreateThumbnailWithTransform: true,
            kCGImageSourceThumbnailMaxPixelSize: longest,
        ]
        guard let source = CGImageSourceCreateWithData(data as CFData, nil),
            let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary)
        else { throw Problem("This is no picture that the system can read.") }
        let (width, height) = (image.width, image.height)
        let own = image.colorSpace?.model == .rgb ? image.colorSpace : nil
        guard let space = own ?? CGColorSpace(name: CGColorSpace.sRGB),
            let context = CGContext(
                data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width, space: space,
                bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
        else { throw Problem("There is too little memory for the picture.") }
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        guard let drawn = context.data else { throw Problem("The picture cannot be drawn.") }
        let rgba = drawn.assumingMemoryBound(to: UInt8.self)
        var rgb = [UInt8](repeating: 0, count: 3 * width * height)
        for pixel in 0..<width * height {
            for channel in 0..<3 { rgb[3 * pixel + channel] = rgba[4 * pixel + channel] }
        }
        self.init(width: width, height: height, rgb: rgb)
    }

    /// For the screen.
    public func image() -> CGImage? {
        guard let provider = CGDataProvider(data: Data(rgb) as CFData) else { return nil }
        return CGImage(
            width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * width,
            space: CGColorSpaceCreateDeviceRGB(), bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue),
            provider: provider, decode: nil, shouldInterpolate: false, intent: .defaultIntent)
    }
}
#endif
