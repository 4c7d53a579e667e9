package onenet.core;

/** Base64 to bytes. Own code: Java's came to Android later than the oldest system that this runs on is compiled against. */
final class Base64 {
    private static final String SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    private Base64() {}

    static byte[] decode(String text) throws Problem {
        int padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
        if (text.length() % 4 != 0) {
            throw new Problem("the manifest holds damaged data; export the model again");
        }
        byte[] bytes = new byte[text.length() / 4 * 3 - padding];
        for (int i = 0; i < text.length(); i += 4) {
            int word = 0;
            for (int k = 0; k < 4; k++) {
                char sign = text.charAt(i + k);
                int value = SIGNS.indexOf(sign);
                if (value < 0 && (sign != '=' || i + k < text.length() - padding)) {
                    throw new Problem("the manifest holds damaged data; export the model again");
                }
                word = word << 6 | Math.max(value, 0);
            }
            for (int k = 0; k < 3 && i / 4 * 3 + k < bytes.length; k++) {
                bytes[i / 4 * 3 + k] = (byte) (word >> (16 - 8 * k));
            }
        }
        return bytes;
    }
}
