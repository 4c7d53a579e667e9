package onenet.bench;

import android.app.Activity;
import android.app.Instrumentation;
import android.content.res.AssetManager;
import android.os.Build;
import android.os.Bundle;
import android.system.Os;
import android.util.Base64;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import onenet.core.Json;
import onenet.core.Manifest;
import onenet.core.Measurement;
import onenet.core.ModelFile;
import onenet.core.Plan;
import onenet.core.Problem;
import onenet.runtimes.Runtimes;

/**
 * Measures a model inside an app, where Android gives it an app's cores and priority:
 *
 * <pre>adb shell am instrument -w -e model onenet-ed4_int8.onnx -e threads 1,2 -e runs 50 onenet.demo/onenet.bench.Bench</pre>
 *
 * <p>{@code -e plan BASE64} takes the plan of a request to the device agent instead of single options. The answer is the
 * document that {@code onenet report} reads; its path is in the result.
 */
public final class Bench extends Instrumentation {
    private static final String[] NUMBERS = {
        "runs", "rounds", "seconds", "warmup_runs", "warmup_seconds", "sustained_minutes", "timeout"
    };
    private static final String FOLDER = "models/";

    private Bundle options;

    @Override
    public void onCreate(Bundle arguments) {
        super.onCreate(arguments);
        options = arguments;
        start();
    }

    @Override
    public void onStart() {
        Bundle result = new Bundle();
        int code = Activity.RESULT_OK;
        try {
            Os.setenv("ORT_DISABLE_TELEMETRY", "1", true);
            File document = measured();
            result.putString("document", document.getAbsolutePath());
        } catch (Throwable thrown) { // whatever it is, one line goes to whoever asked
            code = Activity.RESULT_CANCELED;
            result.putString("error", Problem.textOf("The measurement failed", thrown));
        }
        finish(code, result);
    }

    private File measured() throws Problem, IOException {
        AssetManager assets = getTargetContext().getAssets();
        String name = options.getString("model");
        if (name == null) {
            throw new Problem("no model was named; add -e model FILE, one of the app's assets in " + FOLDER);
        }
        Manifest manifest = Manifest.read(bytes(assets.open(FOLDER + name + ".json")));
        ModelFile model = new ModelFile(manifest, bytes(assets.open(FOLDER + manifest.file)));
        Plan plan = new Plan(planText(), Runtime.getRuntime().availableProcessors());
        Measurement measurement = new Measurement(model, plan, new Runtimes(), new Phone(getTargetContext()));
        Map<String, Object> content = measurement.measure("onenet bench app");
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        content.put("measured", format.format(new Date()));
        File folder = getTargetContext().getExternalFilesDir(null);
        File document = new File(folder == null ? getTargetContext().getFilesDir() : folder, name + ".measurement.json");
        FileOutputStream stream = new FileOutputStream(document);
        try {
            stream.write(Json.write(content).getBytes("UTF-8"));
        } finally {
            stream.close();
        }
        return document;
    }

    private String planText() throws IOException {
        if (options.getString("plan") != null) {
            return new String(Base64.decode(options.getString("plan"), Base64.DEFAULT), "UTF-8");
        }
        StringBuilder text = new StringBuilder("{");
        String threads = options.getString("threads");
        text.append("\"threads\": [").append(threads == null ? "" : threads).append("]");
        for (String name : NUMBERS) {
            if (options.getString(name) != null) {
                text.append(", \"").append(name).append("\": ").append(options.getString(name));
            }
        }
        return text.append("}").toString();
    }

    static byte[] bytes(InputStream stream) throws IOException {
        try {
            ByteArrayOutputStream found = new ByteArrayOutputStream();
            byte[] block = new byte[1 << 16];
            int count;
            while ((count = stream.read(block)) >= 0) {
                found.write(block, 0, count);
            }
            return found.toByteArray();
        } finally {
            stream.close();
        }
    }

    static String text(String file) {
        try {
            return new String(bytes(new FileInputStream(file)), "UTF-8");
        } catch (IOException error) {
            return ""; // a phone hides some of its files from apps
        }
    }

    static String model() {
        return Build.MANUFACTURER + " " + Build.MODEL;
    }
}
