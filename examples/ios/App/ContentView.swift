import PhotosUI
import Segmentation
import SwiftUI

/// One screen: a picture under the colours of its classes, what was seen in words, and how long each step took.
///
/// The system's photo picker needs no permission.
struct ContentView: View {
    @StateObject private var demo = Demo()
    @State private var chosen: PhotosPickerItem?

    var body: some View {
        VStack(spacing: 12) {
            if let shown = demo.shown {
                Image(decorative: shown, scale: 1).resizable().scaledToFit()
                    .accessibilityElement().accessibilityLabel(demo.text)
            }
            Text(demo.text).font(.headline).multilineTextAlignment(.center)
            if let times = demo.times {
                Text(String(format: "before %.1f, inference %.1f, after %.1f ms", times.before, times.inference, times.after))
                    .font(.footnote).monospacedDigit()
            }
            ForEach(demo.classes, id: \.name) { each in
                Label { Text(each.name) } icon: { Circle().fill(colour(each)).frame(width: 14, height: 14) }
            }
            Picker("Model", selection: $demo.model) {
                ForEach(demo.models, id: \.self) { Text($0.deletingPathExtension().lastPathComponent).tag(Optional($0)) }
            }
            PhotosPicker("Choose a picture", selection: $chosen, matching: .images).buttonStyle(.borderedProminent)
        }
        .padding()
        .onChange(of: chosen) { _, item in
            Task { await demo.show(item) }
        }
        .task(id: demo.model) { await demo.open() }
    }

    private func colour(_ each: Manifest.Class) -> Color {
        let parts = each.rgb.map { Double($0) / 255 }
        return Color(red: parts[0], green: parts[1], blue: parts[2])
    }
}

/// Runs one picture at a time, away from the screen.
actor Worker {
    nonisolated let manifest: Manifest
    private let segmenter: Segmenter

    init(_ url: URL) throws {
        segmenter = try Segmenter(compiled: url)
        manifest = segmenter.manifest
    }

    func run(_ picture: Picture) throws -> (Picture, String, Segmenter.Times) {
        let (mask, times) = try segmenter.segment(picture)
        return (mask.over(picture, classes: manifest.classes), mask.summary(classes: manifest.classes), times)
    }
}

@MainActor
final class Demo: ObservableObject {
    let models: [URL]
    @Published var model: URL?
    @Published var text = "Loading …"
    @Published var shown: CGImage?
    @Published var times: Segmenter.Times?
    @Published var classes: [Manifest.Class] = []
    private var worker: Worker?
    private var picture: Picture?

    init() {
        let found = Bundle.main.urls(forResourcesWithExtension: "mlmodelc", subdirectory: nil) ?? []
        models = found.sorted { $0.path < $1.path }
        model = models.first
    }

    func open() async {
        guard let url = model else {
            text = "No model is in the app. README.md says how one gets there."
            return
        }
        do {
            let opened = try await Task.detached { try Worker(url) }.value
            worker = opened
            classes = opened.manifest.classes
            text = "\(opened.manifest.name) \(opened.manifest.precision) is ready. Choose a picture."
            try await draw()
        } catch {
            text = error.localizedDescription
        }
    }

    func show(_ item: PhotosPickerItem?) async {
        guard let item else { return }
        do {
            guard let data = try await item.loadTransferable(type: Data.self) else {
                throw Problem("The picture could not be loaded.")
            }
            picture = try await Task.detached { try Picture(data: data) }.value
            try await draw()
        } catch {
            text = error.localizedDescription
        }
    }

    private func draw() async throws {
        guard let worker, let picture else { return }
        let (drawn, summary, measured) = try await worker.run(picture)
        (shown, text, times) = (drawn.image(), summary, measured)
    }
}
