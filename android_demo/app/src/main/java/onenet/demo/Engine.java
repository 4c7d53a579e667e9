package onenet.demo;

import android.graphics.Bitmap;
import android.os.Handler;
import android.os.HandlerThread;
import android.os.Looper;
import onenet.core.Manifest;
import onenet.core.Mask;
import onenet.core.ModelFile;
import onenet.core.Overlay;
import onenet.core.Picture;
import onenet.core.Problem;
import onenet.core.Runner;
import onenet.core.Segmenter;
import onenet.runtimes.Runtimes;

/** The model in use, on a thread of its own. Results and problems come back on the main thread. */
final class Engine {
    private static final double OPACITY = 0.5;

    /** What is told on the main thread. */
    interface Listener {
        void ready(Manifest manifest, String runtime);

        /**
         * @param drawn the picture under the colours of the mask.
         */
        void shown(Manifest manifest, Picture picture, Mask mask, Bitmap drawn);

        void failed(String text);
    }

    /** Gives a picture, on the engine's thread. */
    interface Source {
        Picture picture() throws Problem;
    }

    private final HandlerThread thread = new HandlerThread("engine");
    private final Handler handler;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Listener listener;
    private final Models models;
    private Manifest manifest;
    private Runner runner;
    private Segmenter segmenter;
    private volatile boolean busy;

    Engine(Models models, Listener listener) {
        this.models = models;
        this.listener = listener;
        thread.start();
        handler = new Handler(thread.getLooper());
    }

    /** Load a model with so many threads, instead of the one before. */
    void use(final Manifest wanted, final int threads) {
        handler.post(new Runnable() {
            @Override
            public void run() {
                load(wanted, threads);
            }
        });
    }

    /** Show the mask of a picture. */
    void show(final Source source, final Segmenter.Fit fit) {
        busy = true;
        handler.post(new Runnable() {
            @Override
            public void run() {
                segment(source, fit);
                busy = false;
            }
        });
    }

    /** Whether a picture is being worked on; a camera drops its frame then. */
    boolean isBusy() {
        return busy;
    }

    void close() {
        handler.post(new Runnable() {
            @Override
            public void run() {
                unload();
                thread.quitSafely();
            }
        });
    }

    private void load(Manifest wanted, int threads) {
        unload();
        try {
            ModelFile model = models.load(wanted);
            runner = new Runtimes().open(model, threads);
            segmenter = new Segmenter(wanted, runner);
            manifest = wanted;
            final String runtime = runner.name() + " " + runner.version();
            final Manifest loaded = wanted;
            main.post(new Runnable() {
                @Override
                public void run() {
                    listener.ready(loaded, runtime);
                }
            });
        } catch (Problem | RuntimeException | OutOfMemoryError problem) {
            unload();
            fail(wanted.file + " cannot be loaded", problem);
        }
    }

    private void unload() {
        if (runner != null) {
            runner.close();
        }
        runner = null;
        segmenter = null;
        manifest = null;
    }

    private void segment(Source source, Segmenter.Fit fit) {
        if (segmenter == null) {
            return; // what went wrong with the model has been said
        }
        try {
            final Picture picture = source.picture();
            final Mask mask = segmenter.segment(picture, fit);
            int[] pixels = Overlay.blend(picture, mask, manifest.classes, OPACITY);
            final Bitmap drawn = Bitmap.createBitmap(pixels, picture.width, picture.height, Bitmap.Config.ARGB_8888);
            final Manifest used = manifest;
            main.post(new Runnable() {
                @Override
                public void run() {
                    listener.shown(used, picture, mask, drawn);
                }
            });
        } catch (Problem | RuntimeException | OutOfMemoryError problem) {
            fail("The picture cannot be shown", problem);
        }
    }

    private void fail(String doing, Throwable thrown) {
        final String text = Problem.textOf(doing, thrown);
        main.post(new Runnable() {
            @Override
            public void run() {
                listener.failed(text);
            }
        });
    }
}
