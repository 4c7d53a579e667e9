package onenet.core;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** A model's bytes together with the manifest that describes exactly these. */
public final class ModelFile {
    public final Manifest manifest;
    public final byte[] bytes;

    /** Throws Problem where the bytes are not those that the manifest describes. */
    public ModelFile(Manifest manifest, byte[] bytes) throws Problem {
        if (bytes.length != manifest.fileBytes || !sha256(bytes).equals(manifest.sha256)) {
            throw new Problem(manifest.file + " is not the file that its manifest describes (" + bytes.length + " bytes, "
                    + manifest.fileBytes + " expected, or another SHA-256); place both again with onenet export --for-android");
        }
        this.manifest = manifest;
        this.bytes = bytes;
    }

    /** The names of the assets that are a model's manifest: {@code MODEL.tflite.json} or {@code MODEL.onnx.json}. */
    public static boolean isManifest(String asset) {
        return asset.endsWith(".tflite.json") || asset.endsWith(".onnx.json");
    }

    /** In lower-case hexadecimal digits. */
    public static String sha256(byte[] bytes) {
        try {
            StringBuilder text = new StringBuilder();
            for (byte each : MessageDigest.getInstance("SHA-256").digest(bytes)) {
                text.append(String.format("%02x", each));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }
}
