package onenet.demo;

import android.content.Context;
import android.widget.LinearLayout;
import android.widget.TextView;
import java.util.List;
import onenet.core.ClassSpec;
import onenet.core.Overlay;

/** The classes of a model in their colours. */
final class Legend {
    private Legend() {}

    static void fill(LinearLayout row, List<ClassSpec> classes) {
        Context context = row.getContext();
        row.removeAllViews();
        int space = context.getResources().getDimensionPixelSize(R.dimen.space);
        for (ClassSpec each : classes) {
            TextView text = new TextView(context);
            text.setText(each.name);
            text.setBackgroundColor(0xFF000000 | each.colour);
            text.setTextColor(Overlay.textColour(each.colour));
            text.setPadding(space, space / 2, space, space / 2);
            row.addView(text);
        }
    }
}
