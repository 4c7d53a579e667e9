package onenet.bench;

import android.app.ActivityManager;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import onenet.core.Measurement;

/** What an app can see of the phone that it runs on. */
final class Phone implements Measurement.Host {
    private static final String[] THERMAL = {"no", "light", "moderate", "severe", "critical", "emergency", "shutdown"};
    private static final Pattern PEAK = Pattern.compile("VmHWM:\\s+(\\d+) kB");

    private final Context context;

    Phone(Context context) {
        this.context = context;
    }

    @Override
    public Map<String, Object> identity() {
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        ((ActivityManager) context.getSystemService(Context.ACTIVITY_SERVICE)).getMemoryInfo(memory);
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        found.put("name", "adb");
        found.put("kind", "adb");
        found.put("model", Bench.model());
        found.put("cpu", Build.HARDWARE);
        found.put("cores", Runtime.getRuntime().availableProcessors());
        found.put("memory_bytes", memory.totalMem);
        found.put("system", "Android " + Build.VERSION.RELEASE);
        found.put("machine", Build.SUPPORTED_ABIS[0]);
        return found;
    }

    @Override
    public Map<String, Object> state() {
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        Intent battery = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
        Map<String, Object> temperatures = new LinkedHashMap<String, Object>();
        if (battery != null) {
            temperatures.put("battery", battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, 0) / 10.0);
            int scale = Math.max(1, battery.getIntExtra(BatteryManager.EXTRA_SCALE, 100));
            found.put("battery_percent", 100.0 * battery.getIntExtra(BatteryManager.EXTRA_LEVEL, 0) / scale);
            found.put("power", battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) == 0 ? "battery" : "plugged in");
        }
        found.put("temperature_c", temperatures);
        found.put("frequency_mhz", frequencies());
        found.put("throttled", throttled());
        return found;
    }

    private static List<Double> frequencies() {
        List<Double> found = new ArrayList<Double>();
        for (int core = 0; core < Runtime.getRuntime().availableProcessors(); core++) {
            File file = new File("/sys/devices/system/cpu/cpu" + core + "/cpufreq/scaling_cur_freq");
            String text = file.canRead() ? Bench.text(file.getPath()).trim() : "";
            if (text.matches("\\d+")) {
                found.add(Long.parseLong(text) / 1000.0);
            }
        }
        return found;
    }

    private String throttled() {
        try {
            Object power = context.getSystemService(Context.POWER_SERVICE);
            int status = (Integer) PowerManager.class.getMethod("getCurrentThermalStatus").invoke(power);
            return status >= 0 && status < THERMAL.length ? THERMAL[status] : null;
        } catch (ReflectiveOperationException error) {
            return null; // before Android 10
        }
    }

    @Override
    public long peakBytes() {
        Matcher found = PEAK.matcher(Bench.text("/proc/self/status"));
        return found.find() ? 1024 * Long.parseLong(found.group(1)) : 0;
    }
}
