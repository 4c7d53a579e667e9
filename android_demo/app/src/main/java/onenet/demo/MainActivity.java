package onenet.demo;

import android.Manifest.permission;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.view.WindowInsets;
import android.widget.Button;
import android.widget.ImageView;
import android.widget.LinearLayout;
import android.widget.TextView;
import java.util.Locale;
import onenet.core.Manifest;
import onenet.core.Mask;
import onenet.core.Overlay;
import onenet.core.Picture;
import onenet.core.Problem;
import onenet.core.Segmenter;
import onenet.core.Statistics;

/** The one screen: a picture or the camera under the classes' colours, what was found, how long it took, and the choices. */
public final class MainActivity extends Activity implements Engine.Listener, Choices.Listener {
    private static final int PICK = 1;
    private static final int ASK_CAMERA = 2;
    private static final int LATEST = 100;
    /** The system's photo picker (Android 13, and older ones through updates); it needs no permission. */
    private static final String PICK_IMAGES = "android.provider.action.PICK_IMAGES";

    private Models models;
    private Engine engine;
    private Choices choices;
    private Camera camera;
    private Picture picture;
    private final Statistics inference = new Statistics(LATEST);
    private ImageView image;
    private TextView status;
    private TextView found;
    private LinearLayout legend;
    private Button cameraButton;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.main);
        image = (ImageView) findViewById(R.id.image);
        status = (TextView) findViewById(R.id.status);
        found = (TextView) findViewById(R.id.found);
        legend = (LinearLayout) findViewById(R.id.legend);
        cameraButton = (Button) findViewById(R.id.camera);
        drawBehindBars();
        models = new Models(getAssets());
        engine = new Engine(models, this);
        choices = new Choices(this, models.manifests, this);
        if (models.manifests.isEmpty()) {
            failed(models.problems.get(0));
        } else if (!models.problems.isEmpty()) {
            found.setText(models.problems.get(0));
        }
        setButtons();
    }

    private void setButtons() {
        findViewById(R.id.pick).setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                pick();
            }
        });
        cameraButton.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View view) {
                if (camera == null) {
                    startCamera();
                } else {
                    stopCamera();
                }
            }
        });
    }

    /** Edge to edge: the system's bars lie over the screen's colour, and what can be read or touched keeps clear of them. */
    private void drawBehindBars() {
        View root = findViewById(R.id.root);
        getWindow().getDecorView().setSystemUiVisibility(
                View.SYSTEM_UI_FLAG_LAYOUT_STABLE | View.SYSTEM_UI_FLAG_LAYOUT_FULLSCREEN
                        | View.SYSTEM_UI_FLAG_LAYOUT_HIDE_NAVIGATION);
        root.setOnApplyWindowInsetsListener(new View.OnApplyWindowInsetsListener() {
            @Override
            public WindowInsets onApplyWindowInsets(View view, WindowInsets insets) {
                view.setPadding(
                        insets.getSystemWindowInsetLeft(), insets.getSystemWindowInsetTop(),
                        insets.getSystemWindowInsetRight(), insets.getSystemWindowInsetBottom());
                return insets;
            }
        });
    }

    // --- what the user chooses

    @Override
    public void chosen(Manifest manifest, int threads) {
        inference.clear();
        status.setText(getString(R.string.loading, manifest.file));
        engine.use(manifest, threads);
        if (picture != null && camera == null) {
            show(picture);
        }
    }

    private void pick() {
        stopCamera();
        Intent intent = new Intent(PICK_IMAGES).setType("image/*");
        if (intent.resolveActivity(getPackageManager()) == null) {
            intent = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*");
        }
        try {
            startActivityForResult(intent, PICK);
        } catch (ActivityNotFoundException error) {
            failed(getString(R.string.no_picker));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        if (request != PICK || result != RESULT_OK || data == null || data.getData() == null) {
            return;
        }
        final Uri place = data.getData();
        final PictureReader reader = new PictureReader(getContentResolver());
        engine.show(new Engine.Source() {
            @Override
            public Picture picture() throws Problem {
                return reader.read(place);
            }
        }, Segmenter.Fit.AUTO);
    }

    private void show(final Picture shown) {
        engine.show(new Engine.Source() {
            @Override
            public Picture picture() {
                return shown;
            }
        }, camera == null ? Segmenter.Fit.AUTO : Segmenter.Fit.RESIZE);
    }

    // --- the camera

    private void startCamera() {
        if (choices.manifest() == null) {
            return;
        }
        if (checkSelfPermission(permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(new String[] {permission.CAMERA}, ASK_CAMERA);
            return;
        }
        camera = new Camera(this, new FrameListener());
        int[] made = choices.manifest().madeFor();
        try {
            camera.open(Math.max(made[0], made[1]), 90 * getWindowManager().getDefaultDisplay().getRotation());
            cameraButton.setText(R.string.stop_camera);
            inference.clear();
        } catch (Problem problem) {
            stopCamera();
            failed(problem.getMessage());
        }
    }

    private void stopCamera() {
        if (camera != null) {
            camera.close();
        }
        camera = null;
        cameraButton.setText(R.string.start_camera);
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        if (request == ASK_CAMERA && results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED) {
            startCamera();
        } else {
            failed(getString(R.string.camera_denied));
        }
    }

    /** Frames go straight to the engine; a problem ends the camera. */
    private final class FrameListener implements Camera.Listener {
        @Override
        public boolean isBusy() {
            return engine.isBusy();
        }

        @Override
        public void frame(Picture frame) {
            show(frame);
        }

        @Override
        public void failed(final String text) {
            runOnUiThread(new Runnable() {
                @Override
                public void run() {
                    stopCamera();
                    MainActivity.this.failed(text);
                }
            });
        }
    }

    // --- what the engine says

    @Override
    public void ready(Manifest manifest, String runtime) {
        Legend.fill(legend, manifest.classes);
        status.setText(getString(R.string.ready, manifest.file, runtime));
    }

    @Override
    public void shown(Manifest manifest, Picture seen, Mask mask, Bitmap drawn) {
        picture = seen;
        inference.add(mask.inferenceMs / mask.tiles);
        image.setImageBitmap(drawn);
        String summary = Overlay.summary(mask, manifest.classes);
        image.setContentDescription(getString(R.string.picture_with, summary));
        found.setText(mask.resized ? getString(R.string.stretched, summary) : summary);
        String heat = Thermal.status(this);
        status.setText(String.format(
                Locale.getDefault(), getString(R.string.times), inference.percentile(50), inference.percentile(90),
                inference.size(), mask.beforeMs, mask.inferenceMs, mask.afterMs, mask.tiles,
                heat == null ? getString(R.string.unknown) : heat));
    }

    @Override
    public void failed(String text) {
        status.setText(text);
        status.announceForAccessibility(text);
    }

    @Override
    protected void onPause() {
        stopCamera();
        super.onPause();
    }

    @Override
    protected void onDestroy() {
        engine.close();
        super.onDestroy();
    }
}
