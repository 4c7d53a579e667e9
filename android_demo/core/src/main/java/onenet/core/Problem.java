package onenet.core;

/** What went wrong, in one line for the person who uses the app: what was asked, what was found, what to do. */
public final class Problem extends Exception {
    private static final long serialVersionUID = 1;

    public Problem(String text) {
        super(text);
    }

    public Problem(String text, Throwable cause) {
        super(text, cause);
    }

    /**
     * One line for anything that was thrown.
     *
     * @param doing what was being done, as the beginning of a sentence: "The picture cannot be read".
     */
    public static String textOf(String doing, Throwable thrown) {
        if (thrown instanceof Problem) {
            return thrown.getMessage();
        }
        if (thrown instanceof OutOfMemoryError) {
            return doing + ": there is not enough memory; close other apps, or choose a smaller picture";
        }
        String why = thrown.getMessage();
        String name = thrown.getClass().getSimpleName();
        return doing + ": " + (why == null || why.isEmpty() ? name : name + ": " + why.replaceAll("\\s+", " ").trim());
    }
}
