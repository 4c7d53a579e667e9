import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Enumeration;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Classes of Java 17 as classes of Java 8, for dx: {@code java Lower IN.jar OUT-FOLDER}.
 *
 * <p>Nests, by which inner classes reach private members from Java 11 on, are left out; what was private becomes visible in the
 * package instead, and calls that relied on it stay as they are. Lambdas are ProGuard's to lower.
 */
public final class Lower {
    private Lower() {}

    public static void main(String[] arguments) throws IOException {
        try (ZipFile jar = new ZipFile(arguments[0])) {
            Enumeration<? extends ZipEntry> entries = jar.entries();
            while (entries.hasMoreElements()) {
                ZipEntry entry = entries.nextElement();
                String name = entry.getName();
                if (name.endsWith(".class") && !name.startsWith("META-INF") && !name.equals("module-info.class")) {
                    Path to = Paths.get(arguments[1], name);
                    Files.createDirectories(to.getParent());
                    Files.write(to, lowered(jar.getInputStream(entry).readAllBytes()));
                }
            }
        }
    }

    private static byte[] lowered(byte[] bytes) {
        ClassWriter writer = new ClassWriter(0);
        new ClassReader(bytes).accept(new Old(writer), 0);
        return writer.toByteArray();
    }

    private static final class Old extends ClassVisitor {
        private boolean isInterface;

        Old(ClassVisitor next) {
            super(Opcodes.ASM9, next);
        }

        @Override
        public void visit(int version, int access, String name, String signature, String parent, String[] interfaces) {
            isInterface = (access & Opcodes.ACC_INTERFACE) != 0;
            super.visit(Opcodes.V1_8, access, name, signature, parent, interfaces);
        }

        @Override
        public void visitNestHost(String host) {}

        @Override
        public void visitNestMember(String member) {}

        @Override
        public FieldVisitor visitField(int access, String name, String type, String signature, Object value) {
            return super.visitField(access & ~Opcodes.ACC_PRIVATE, name, type, signature, value);
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String type, String signature, String[] thrown) {
            boolean open = (access & Opcodes.ACC_PRIVATE) != 0 && !isInterface;
            // A final method cannot be overridden by accident once it is visible.
            boolean needsFinal = open && (access & Opcodes.ACC_STATIC) == 0 && !name.equals("<init>");
            int wider = open ? access & ~Opcodes.ACC_PRIVATE | (needsFinal ? Opcodes.ACC_FINAL : 0) : access;
            return super.visitMethod(wider, name, type, signature, thrown);
        }
    }
}
