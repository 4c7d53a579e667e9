package onenet.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.nio.charset.StandardCharsets;
import org.junit.Test;

public class ManifestTest {
    private static String refused(String part, String other) {
        return Samples.problemOf(() -> Manifest.read(Samples.manifestWith(part, other)));
    }

    @Test
    public void holdsWhatTheJsonSays() throws Problem {
        Manifest found = Manifest.read(Samples.MANIFEST.getBytes(StandardCharsets.UTF_8));
        assertEquals("tiny.onnx", found.file);
        assertEquals("fp32", found.precision);
        assertEquals("float32 1x3x4x4", found.input.toString());
        assertEquals("nucleus", found.classes.get(1).name);
        assertEquals(0xe69f00, found.classes.get(1).colour);
        assertArrayEquals(new int[] {4, 4}, found.madeFor());
    }

    @Test
    public void aNewerSchemaIsRefused() {
        assertTrue(refused("\"schema\": 1", "\"schema\": 2").contains("has schema 2, this app reads 1"));
    }

    @Test
    public void foreignJsonIsRefused() {
        assertTrue(Samples.problemOf(() -> Manifest.read("{\"model\": 3}")).contains("no manifest of onenet"));
        assertTrue(Samples.problemOf(() -> Manifest.read("[1]")).contains("not a JSON object"));
        assertTrue(Samples.problemOf(() -> Manifest.read("PK\3\4")).contains("not JSON"));
    }

    @Test
    public void anotherPreprocessingIsRefused() {
        assertTrue(refused("rgb01/resize-bilinear/1", "rgb01/letterbox/2").contains("rgb01/letterbox/2"));
    }

    @Test
    public void anotherTaskIsRefused() {
        assertTrue(refused("\"segmentation\"", "\"classification\"").contains("is for classification"));
    }

    @Test
    public void severalInputsAreRefused() {
        int start = Samples.MANIFEST.indexOf("{\"name\": \"image\"");
        String input = Samples.MANIFEST.substring(start, Samples.MANIFEST.indexOf("}],"));
        assertTrue(refused(input + "}", input + "}, " + input + "}").contains("2 inputs"));
    }

    @Test
    public void aFiveChannelInputIsRefused() {
        assertTrue(refused("[1, 3, 4, 4]", "[1, 5, 4, 4]").contains("takes float32 1x5x4x4"));
    }

    @Test
    public void aBatchIsRefused() {
        assertTrue(refused("[1, 3, 4, 4]", "[8, 3, 4, 4]").contains("one RGB or grey image"));
    }

    @Test
    public void anOutputOfOtherSizeIsRefused() {
        assertTrue(refused("[1, 2, 4, 4]", "[1, 2, 8, 8]").contains("at the size of the image"));
    }

    @Test
    public void unknownTypesLayoutsAndColoursAreRefused() {
        assertTrue(refused("\"float32\"", "\"complex64\"").contains("complex64"));
        assertTrue(refused("\"NCHW\"", "\"CHWN\"").contains("CHWN"));
        assertTrue(refused("#e69f00", "orange").contains("orange"));
        assertTrue(refused("\"scale\": null", "\"scale\": -1").contains("not above 0"));
    }

    @Test
    public void missingEntriesAreNamed() {
        assertTrue(refused("\"artifact\"", "\"artefact\"").contains("artifact"));
        assertTrue(refused("\"file\": \"tiny.onnx\"", "\"file\": 3").contains("file"));
        assertTrue(refused("[1, 3, 4, 4]", "[1, 3, 4.5, 4]").contains("shape"));
    }

    @Test
    public void theFileMustBeTheManifests() throws Problem {
        Manifest manifest = Manifest.read(Samples.MANIFEST);
        new ModelFile(manifest, "abc".getBytes(StandardCharsets.UTF_8));
        String other = Samples.problemOf(() -> new ModelFile(manifest, "abd".getBytes(StandardCharsets.UTF_8)));
        assertTrue(other, other.contains("is not the file that its manifest describes"));
        String cut = Samples.problemOf(() -> new ModelFile(manifest, new byte[0]));
        assertTrue(cut, cut.contains("0 bytes, 3 expected"));
    }

    @Test
    public void manifestsAreKnownByTheirNames() {
        assertTrue(ModelFile.isManifest("a_int8.tflite.json"));
        assertTrue(ModelFile.isManifest("a.onnx.json"));
        assertFalse(ModelFile.isManifest("a.tflite"));
        assertFalse(ModelFile.isManifest("notes.json"));
    }
}
