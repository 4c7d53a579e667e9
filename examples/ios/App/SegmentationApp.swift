import SwiftUI

@main
struct SegmentationApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}
