package onenet.core;

import java.util.ArrayList;
import java.util.List;

/** How an image of any size runs through a model of fixed size, tile by tile, with the result of the whole image. */
public final class Tiling {
    /** Tiles start at multiples of this, and their sides are multiples of it. */
    final int patch;
    /** Rows and columns at a tile's edges that depend on the image outside it; -1: the whole axis does. */
    final int[] halo;
    /** Why there are no exact tiles; null where there are. */
    final String refused;
    /** Height and width of the images that the model was made for, where its input is a tile of them; else null. */
    final int[] imageSize;

    private Tiling(int patch, int[] halo, String refused, int[] imageSize) {
        this.patch = patch;
        this.halo = halo;
        this.refused = refused;
        this.imageSize = imageSize;
    }

    Tiling(Entry entry) throws Problem {
        this(
                entry.has("patch") ? entry.whole("patch", 1) : 1,
                entry.has("halo") ? entry.wholesOrNone("halo") : new int[] {0, 0},
                entry.text("refused", null),
                entry.has("image_size") ? entry.wholes("image_size", 1) : null);
        if (halo.length != 2 || (imageSize != null && imageSize.length != 2)) {
            throw entry.wrong("halo", "not two numbers, or image_size is not");
        }
    }

    static Tiling unknown() {
        return new Tiling(1, new int[] {0, 0}, "the manifest says nothing of tiles", null);
    }

    /**
     * The tiles of an image, in rows from the top.
     *
     * @param size height and width of the image.
     * @param tile height and width of the model's input.
     * @throws Problem there are no exact tiles for this image; says why.
     */
    public List<Tile> tiles(int[] size, int[] tile) throws Problem {
        List<Tile> found = new ArrayList<Tile>();
        if (size[0] == tile[0] && size[1] == tile[1]) {
            found.add(new Tile(new int[] {0, 0, size[0]}, new int[] {0, 0, size[1]}, size));
            return found;
        }
        if (refused != null) {
            throw new Problem("no exact tiles: " + refused);
        }
        List<int[]> rows = spans(size[0], tile[0], halo[0]);
        List<int[]> columns = spans(size[1], tile[1], halo[1]);
        for (int[] row : rows) {
            for (int[] column : columns) {
                found.add(new Tile(row, column, size));
            }
        }
        return found;
    }

    /** Start of each tile along one axis, and which pixels of the image, first to last exclusive, are taken from it. */
    private List<int[]> spans(int size, int side, int halo) throws Problem {
        List<int[]> found = new ArrayList<int[]>();
        int length = (size + patch - 1) / patch * patch;
        if (halo < 0) {
            if (size != side) {
                throw new Problem("no exact tiles: every pixel depends on all " + side + " of an axis, the image has " + size);
            }
            found.add(new int[] {0, 0, side});
            return found;
        }
        if (side % patch != 0 || (halo > 0 && side < 2 * halo + patch) || (length < side && halo > 0)) {
            throw new Problem("no exact tiles: " + side + " pixels are a wrong length for an image of " + size
                    + "; the network's patch is " + patch + ", its halo " + halo);
        }
        if (length <= side) {
            found.add(new int[] {0, 0, length});
            return found;
        }
        int start = 0;
        int first = 0;
        while (start + side < length) {
            int last = start + side - halo;
            found.add(new int[] {start, first, last});
            first = last;
            start += side - 2 * halo;
        }
        found.add(new int[] {length - side, first, length});
        return found;
    }

    /** One tile: where it lies in the image, and which part of its result counts. */
    public static final class Tile {
        private final int[] row;
        private final int[] column;
        private final int[] size;

        Tile(int[] row, int[] column, int[] size) {
            this.row = row;
            this.column = column;
            this.size = size;
        }

        /** The tile's pixels; the image's last row and column are repeated beyond it. */
        Picture cut(Picture image, int height, int width) throws Problem {
            if (height == image.height && width == image.width) {
                return image;
            }
            byte[] rgb = new byte[3 * height * width];
            for (int y = 0; y < height; y++) {
                int fromRow = Math.min(row[0] + y, image.height - 1) * image.width;
                for (int x = 0; x < width; x++) {
                    int from = 3 * (fromRow + Math.min(column[0] + x, image.width - 1));
                    System.arraycopy(image.rgb, from, rgb, 3 * (y * width + x), 3);
                }
            }
            return new Picture(width, height, rgb);
        }

        /** Copy what counts of the tile's labels to its place in the image's labels. */
        void paste(byte[] labels, int width, byte[] whole) {
            int bottom = Math.min(row[2], size[0]);
            int right = Math.min(column[2], size[1]);
            for (int y = row[1]; y < bottom; y++) {
                int from = (y - row[0]) * width + column[1] - column[0];
                System.arraycopy(labels, from, whole, y * size[1] + column[1], right - column[1]);
            }
        }
    }
}
