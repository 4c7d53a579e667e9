// An app that gives the answers of a folder: `replay CASES ANSWERS`.

import java.io.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;

public class Replay {
    static int at = 0;
    public static void main(String[] words) throws Exception {
        final String answers = words[1];
        OnenetCases.App app = new OnenetCases.App() {
            String next = null;
            ByteBuffer read(String end) throws IOException { return ByteBuffer.wrap(Files.readAllBytes(Paths.get(answers, next + end))); }
            public ByteBuffer preprocess(byte[] pixels, int width, int height) throws Exception {
                next = new String[] {"whole", "larger", "smaller"}[at++];
                return read(".input.bin");
            }
            public List<ByteBuffer> run(ByteBuffer input) throws Exception { return Arrays.asList(read(".output0.bin")); }
            public byte[] labels(List<ByteBuffer> outputs, int width, int height) throws Exception { return read(".labels.bin").array(); }
        };
        for (String line : OnenetCases.check(app, name -> new FileInputStream(words[0] + "/" + name))) System.out.println(line);
    }
}
