// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "Segmentation",
    platforms: [.iOS(.v17), .macOS(.v14)],  // the operators of int8 packages
    products: [.library(name: "Segmentation", targets: ["Segmentation"])],
    targets: [
        .target(name: "Segmentation"),
        .testTarget(name: "SegmentationTests", dependencies: ["Segmentation"]),
    ]
)
