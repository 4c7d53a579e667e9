package onenet.core;

/** One class that the model tells apart. */
public final class ClassSpec {
    public final String name;
    /** 0xRRGGBB. */
    public final int colour;

    ClassSpec(Entry entry) throws Problem {
        name = entry.text("name");
        String text = entry.text("colour");
        if (!text.matches("#[0-9a-fA-F]{6}")) {
            throw entry.wrong("colour", "not #rrggbb");
        }
        colour = Integer.parseInt(text.substring(1), 16);
    }
}
