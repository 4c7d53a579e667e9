package onenet.demo;

import android.app.Activity;
import android.view.View;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.Spinner;
import java.util.ArrayList;
import java.util.List;
import onenet.core.Manifest;
import onenet.runtimes.Runtimes;

/** Runtime, model and threads: what can be chosen follows from the manifests among the assets. */
final class Choices {
    /** Told when another model or number of threads is chosen, and once at the beginning. */
    interface Listener {
        void chosen(Manifest manifest, int threads);
    }

    private final List<Manifest> manifests;
    private final Listener listener;
    private final Activity activity;
    private final Spinner runtimeBox;
    private final Spinner modelBox;
    private final Spinner threadBox;
    private final List<String> targets = new ArrayList<String>();
    private final List<Manifest> shown = new ArrayList<Manifest>();
    private Manifest manifest;
    private int threads;

    Choices(Activity activity, List<Manifest> manifests, Listener listener) {
        this.activity = activity;
        this.manifests = manifests;
        this.listener = listener;
        runtimeBox = (Spinner) activity.findViewById(R.id.runtime);
        modelBox = (Spinner) activity.findViewById(R.id.model);
        threadBox = (Spinner) activity.findViewById(R.id.threads);
        fillRuntimes();
        fillThreads();
        if (!targets.isEmpty()) {
            fillModels(targets.get(0));
        }
    }

    /** What is in use; null where there is no model. */
    Manifest manifest() {
        return manifest;
    }

    private void fillRuntimes() {
        List<String> titles = new ArrayList<String>();
        for (Manifest each : manifests) {
            String title = Runtimes.title(each.target);
            if (title != null && !targets.contains(each.target)) {
                targets.add(each.target);
                titles.add(title);
            }
        }
        fill(runtimeBox, titles, new Chosen() {
            @Override
            public void chosen(int index) {
                fillModels(targets.get(index));
            }
        });
    }

    private void fillModels(String target) {
        List<String> titles = new ArrayList<String>();
        shown.clear();
        for (Manifest each : manifests) {
            if (each.target.equals(target)) {
                shown.add(each);
                titles.add(each.name + ", " + each.precision);
            }
        }
        fill(modelBox, titles, new Chosen() {
            @Override
            public void chosen(int index) {
                change(shown.get(index), threads);
            }
        });
    }

    private void fillThreads() {
        List<String> titles = new ArrayList<String>();
        int cores = Math.max(1, Runtime.getRuntime().availableProcessors());
        for (int count = 1; count <= cores; count++) {
            titles.add(activity.getResources().getQuantityString(R.plurals.threads, count, count));
        }
        threads = 1;
        fill(threadBox, titles, new Chosen() {
            @Override
            public void chosen(int index) {
                change(manifest, index + 1);
            }
        });
    }

    private void change(Manifest wanted, int count) {
        if (wanted != null && (wanted != manifest || count != threads)) {
            manifest = wanted;
            threads = count;
            listener.chosen(manifest, threads);
        }
    }

    private interface Chosen {
        void chosen(int index);
    }

    private void fill(Spinner box, List<String> titles, final Chosen chosen) {
        ArrayAdapter<String> adapter = new ArrayAdapter<String>(activity, android.R.layout.simple_spinner_item, titles);
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
        box.setAdapter(adapter);
        box.setOnItemSelectedListener(new AdapterView.OnItemSelectedListener() {
            @Override
            public void onItemSelected(AdapterView<?> parent, View view, int index, long id) {
                chosen.chosen(index);
            }

            @Override
            public void onNothingSelected(AdapterView<?> parent) {}
        });
    }
}
