package onenet.demo;

import android.content.Context;
import android.os.Build;
import android.os.PowerManager;

/** How warm the phone says it is. */
final class Thermal {
    private static final String[] NAMES = {"none", "light", "moderate", "severe", "critical", "emergency", "shutdown"};
    private static final int SINCE = 29;

    private Thermal() {}

    /** "none" to "shutdown"; null before Android 10, which does not say. */
    static String status(Context context) {
        if (Build.VERSION.SDK_INT < SINCE) {
            return null;
        }
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        try {
            // By name: the oldest platform that this compiles against does not have it.
            int status = (Integer) PowerManager.class.getMethod("getCurrentThermalStatus").invoke(power);
            return status >= 0 && status < NAMES.length ? NAMES[status] : null;
        } catch (ReflectiveOperationException error) {
            return null;
        }
    }
}
