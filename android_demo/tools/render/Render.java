import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Paths;
import javax.imageio.ImageIO;
import onenet.core.ClassSpec;
import onenet.core.Manifest;
import onenet.core.Mask;
import onenet.core.ModelFile;
import onenet.core.Overlay;
import onenet.core.Picture;
import onenet.core.Runner;
import onenet.core.Segmenter;
import onenet.runtimes.Runtimes;

/**
 * What the app draws, on a JVM: {@code java Render MODEL OUT.png WIDTH HEIGHT PIXELS...}, each PIXELS a file of RGB bytes.
 *
 * <p>Mask, colours and words are made by the app's own code; only the canvas is Java's instead of Android's.
 */
public final class Render {
    private static final int SPACE = 16;
    private static final int TEXT = 18;

    private Render() {}

    public static void main(String[] arguments) throws Exception {
        Manifest manifest = Manifest.read(Files.readAllBytes(Paths.get(arguments[0] + ".json")));
        ModelFile model = new ModelFile(manifest, Files.readAllBytes(Paths.get(arguments[0])));
        int width = Integer.parseInt(arguments[2]);
        int height = Integer.parseInt(arguments[3]);
        int count = arguments.length - 4;
        int high = SPACE + 2 * (height + SPACE) + 3 * TEXT;
        BufferedImage canvas = new BufferedImage(SPACE + count * (width + SPACE), high, BufferedImage.TYPE_INT_RGB);
        Graphics2D drawing = canvas.createGraphics();
        drawing.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
        drawing.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, TEXT * 2 / 3));
        try (Runner runner = new Runtimes().open(model, 1)) {
            Segmenter segmenter = new Segmenter(manifest, runner);
            for (int i = 0; i < count; i++) {
                Picture picture = new Picture(width, height, Files.readAllBytes(Paths.get(arguments[4 + i])));
                Mask mask = segmenter.segment(picture, Segmenter.Fit.AUTO);
                int left = SPACE + i * (width + SPACE);
                canvas.setRGB(left, SPACE, width, height, picture.argb(), 0, width);
                int[] drawn = Overlay.blend(picture, mask, manifest.classes, 0.5);
                canvas.setRGB(left, 2 * SPACE + height, width, height, drawn, 0, width);
                drawing.setColor(Color.WHITE);
                drawing.drawString(Overlay.summary(mask, manifest.classes), left, 2 * SPACE + 2 * height + TEXT);
            }
        }
        legend(drawing, manifest, 2 * SPACE + 2 * height + 2 * TEXT);
        ImageIO.write(canvas, "png", new File(arguments[1]));
    }

    private static void legend(Graphics2D drawing, Manifest manifest, int top) {
        int left = SPACE;
        for (ClassSpec each : manifest.classes) {
            int wide = drawing.getFontMetrics().stringWidth(each.name) + SPACE;
            drawing.setColor(new Color(each.colour));
            drawing.fillRect(left, top - TEXT / 3, wide, TEXT);
            drawing.setColor(new Color(Overlay.textColour(each.colour)));
            drawing.drawString(each.name, left + SPACE / 2, top + TEXT / 3);
            left += wide;
        }
    }
}
