package onenet.core;

import java.nio.ByteBuffer;
import java.util.List;

/** A picture of any size to its mask, by the manifest alone: feed, inference and labels, each timed by itself. */
public final class Segmenter {
    /** How a picture of another size than the model's is run. */
    public enum Fit {
        /** In tiles that give the whole image's result; where there are none, stretched. */
        AUTO,
        /** Stretched to the size that the model was made for, and the mask back. */
        RESIZE
    }

    private final Manifest manifest;
    private final Runner runner;
    private final Feed feed;
    private final Labels labels;
    private final ByteBuffer input;

    public Segmenter(Manifest manifest, Runner runner) throws Problem {
        this.manifest = manifest;
        this.runner = runner;
        feed = new Feed(manifest.input);
        labels = new Labels(manifest.output);
        input = feed.allocate();
    }

    /** The mask of a picture. Throws Problem where the runtime fails. */
    public Mask segment(Picture picture, Fit fit) throws Problem {
        long start = System.nanoTime();
        int[] size = {picture.height, picture.width};
        int[] made = manifest.madeFor();
        int[] side = {manifest.input.size('H'), manifest.input.size('W')};
        List<Tiling.Tile> tiles = fit == Fit.AUTO ? exactTiles(size, side) : null;
        boolean resized = tiles == null && (size[0] != made[0] || size[1] != made[1]);
        Picture seen = picture;
        if (tiles == null) {
            tiles = manifest.tiling.tiles(made, side);
            seen = resized ? Resize.bilinear(picture, made[1], made[0]) : picture;
        }
        Mask mask = run(seen, tiles, side);
        if (resized) {
            mask = mask.stretched(picture.width, picture.height);
        }
        return mask.finished(System.nanoTime() - start, resized, tiles.size());
    }

    private List<Tiling.Tile> exactTiles(int[] size, int[] side) {
        try {
            return manifest.tiling.tiles(size, side);
        } catch (Problem none) {
            return null; // the picture is stretched instead, and the mask says so
        }
    }

    private Mask run(Picture picture, List<Tiling.Tile> tiles, int[] side) throws Problem {
        byte[] whole = new byte[picture.width * picture.height];
        long before = 0;
        long inference = 0;
        for (Tiling.Tile tile : tiles) {
            long start = System.nanoTime();
            feed.fill(tile.cut(picture, side[0], side[1]), input);
            long fed = System.nanoTime();
            ByteBuffer output = runner.run(input);
            long ran = System.nanoTime();
            tile.paste(labels.of(output), side[1], whole);
            before += fed - start;
            inference += ran - fed;
        }
        return new Mask(picture.width, picture.height, whole, before, inference);
    }
}
