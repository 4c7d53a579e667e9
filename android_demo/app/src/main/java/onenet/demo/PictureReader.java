package onenet.demo;

import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.net.Uri;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import onenet.core.Exif;
import onenet.core.Picture;
import onenet.core.Problem;

/** A picture that the user chose, upright and small enough for this phone's memory. */
final class PictureReader {
    private static final int HEAD = 1 << 16;

    private final ContentResolver resolver;

    PictureReader(ContentResolver resolver) {
        this.resolver = resolver;
    }

    /** Throws Problem where it is no picture, or cannot be opened. */
    Picture read(Uri place) throws Problem {
        try {
            BitmapFactory.Options options = new BitmapFactory.Options();
            options.inJustDecodeBounds = true;
            decode(place, options);
            long most = Picture.mostPixels(Runtime.getRuntime().maxMemory());
            options.inSampleSize = Picture.sampleSize(options.outWidth, options.outHeight, most);
            options.inJustDecodeBounds = false;
            options.inPreferredConfig = Bitmap.Config.ARGB_8888;
            options.inPremultiplied = true;
            Bitmap bitmap = decode(place, options);
            if (bitmap == null) {
                throw new Problem("This file is no picture that can be read; choose a JPEG, PNG or WebP file");
            }
            int width = bitmap.getWidth();
            int height = bitmap.getHeight();
            int[] pixels = new int[width * height];
            bitmap.getPixels(pixels, 0, width, 0, 0, width, height);
            bitmap.recycle();
            return Picture.ofArgb(width, height, pixels).upright(orientation(place));
        } catch (FileNotFoundException error) {
            throw new Problem("The picture is not there any more; choose another one", error);
        } catch (IOException error) {
            throw new Problem(Problem.textOf("The picture cannot be read", error), error);
        } catch (SecurityException error) {
            throw new Problem("Android does not let this app read the picture; choose it again", error);
        }
    }

    private Bitmap decode(Uri place, BitmapFactory.Options options) throws IOException {
        InputStream stream = resolver.openInputStream(place);
        try {
            return BitmapFactory.decodeStream(stream, null, options);
        } finally {
            stream.close();
        }
    }

    private int orientation(Uri place) throws IOException {
        InputStream stream = resolver.openInputStream(place);
        try {
            return Exif.orientation(Models.Streams.upTo(stream, HEAD));
        } finally {
            stream.close();
        }
    }
}
