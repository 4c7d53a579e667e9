package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import org.junit.Test;

/** The whole way from a picture to its mask, with a network that can be written down. */
public class SegmenterTest {
    private final Samples.RedRunner runner = new Samples.RedRunner();

    private Segmenter segmenter(String tiling) throws Problem {
        String manifest = Samples.manifestWith("{\"patch\": 2, \"halo\": [0, 0]}", tiling);
        return new Segmenter(Manifest.read(manifest), runner);
    }

    private static byte[] redLabels(Picture picture) {
        byte[] labels = new byte[picture.width * picture.height];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = (byte) ((picture.rgb[3 * i] & 255) / 255f > 0.5f ? 1 : 0);
        }
        return labels;
    }

    @Test
    public void aPictureOfTheModelsSizeIsRunWhole() throws Problem {
        Picture picture = Samples.picture(4, 4);
        Mask mask = segmenter("{\"refused\": \"it looks everywhere\"}").segment(picture, Segmenter.Fit.AUTO);
        assertArrayEquals(redLabels(picture), mask.labels);
        assertEquals(1, runner.runs);
        assertFalse(mask.resized);
    }

    @Test
    public void tilesGiveTheWholePicturesMask() throws Problem {
        for (int[] size : new int[][] {{9, 7}, {4, 5}, {3, 2}, {16, 4}, {5, 11}}) {
            for (String halo : new String[] {"[0, 0]", "[1, 0]", "[1, 1]"}) {
                Picture picture = Samples.picture(size[0], size[1]);
                boolean small = size[0] < 4 || size[1] < 4;
                if (small && !halo.equals("[0, 0]")) {
                    continue; // stretched instead, which is another test
                }
                Mask mask = segmenter("{\"patch\": 1, \"halo\": " + halo + "}").segment(picture, Segmenter.Fit.AUTO);
                assertArrayEquals(size[0] + "x" + size[1] + " halo " + halo, redLabels(picture), mask.labels);
                assertFalse(mask.resized);
            }
        }
    }

    @Test
    public void withoutTilesThePictureIsStretchedAndTheMaskBack() throws Problem {
        Picture picture = Samples.picture(9, 7);
        Mask mask = segmenter("{\"refused\": \"it looks everywhere\"}").segment(picture, Segmenter.Fit.AUTO);
        byte[] small = redLabels(Resize.bilinear(picture, 4, 4));
        assertArrayEquals(Resize.nearest(small, 4, 4, 9, 7), mask.labels);
        assertTrue(mask.resized);
        assertEquals(1, mask.tiles);
    }

    @Test
    public void stretchingCanBeAskedFor() throws Problem {
        Mask mask = segmenter("{\"patch\": 2, \"halo\": [0, 0]}").segment(Samples.picture(9, 7), Segmenter.Fit.RESIZE);
        assertTrue(mask.resized);
        assertEquals(1, runner.runs);
    }

    @Test
    public void aModelMadeOfTilesIsStretchedToTheImageItWasMadeFor() throws Problem {
        Segmenter segmenter = segmenter("{\"patch\": 2, \"halo\": [0, 0], \"image_size\": [8, 8]}");
        Mask mask = segmenter.segment(Samples.picture(9, 7), Segmenter.Fit.RESIZE);
        byte[] small = redLabels(Resize.bilinear(Samples.picture(9, 7), 8, 8));
        assertArrayEquals(Resize.nearest(small, 8, 8, 9, 7), mask.labels);
        assertEquals(4, mask.tiles);
    }

    @Test
    public void timesAreTakenApart() throws Problem {
        Mask mask = segmenter("{\"patch\": 2, \"halo\": [0, 0]}").segment(Samples.picture(64, 64), Segmenter.Fit.AUTO);
        assertEquals(256, mask.tiles);
        assertTrue(mask.beforeMs > 0 && mask.inferenceMs > 0 && mask.afterMs >= 0);
    }

    @Test
    public void tilesOfAnAxisThatCannotBeCutAreRefused() {
        String rows = Samples.manifestWith("[0, 0]", "[null, 0]");
        String found = Samples.problemOf(() -> Manifest.read(rows).tiling.tiles(new int[] {6, 8}, new int[] {4, 4}));
        assertTrue(found, found.contains("every pixel depends on all 4"));
        String tooSmall = Samples.manifestWith("[0, 0]", "[2, 2]");
        String halo = Samples.problemOf(() -> Manifest.read(tooSmall).tiling.tiles(new int[] {6, 8}, new int[] {4, 4}));
        assertTrue(halo, halo.contains("halo 2"));
    }
}
