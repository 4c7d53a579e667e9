package onenet.demo;

import android.app.Application;
import android.system.ErrnoException;
import android.system.Os;

/** What must be done before any runtime is loaded. */
public final class DemoApplication extends Application {
    @Override
    public void onCreate() {
        super.onCreate();
        try {
            Os.setenv("ORT_DISABLE_TELEMETRY", "1", true); // ONNX Runtime looks at it when its library is loaded
        } catch (ErrnoException error) {
            // Without INTERNET there is no way out for telemetry either.
        }
    }
}
