package onenet.demo;

import android.content.Context;
import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;
import java.util.Collections;
import onenet.core.Picture;
import onenet.core.Problem;
import onenet.core.Yuv;

/** Frames of the camera on the back, upright, one at a time: the newest when somebody has time for it. */
final class Camera {
    /** Gets frames and what went wrong, on the camera's thread. */
    interface Listener {
        boolean isBusy();

        void frame(Picture picture);

        void failed(String text);
    }

    private final CameraManager manager;
    private final Listener listener;
    private final HandlerThread thread = new HandlerThread("camera");
    private Handler handler;
    private CameraDevice device;
    private ImageReader reader;
    private int orientation;

    Camera(Context context, Listener listener) {
        manager = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
        this.listener = listener;
    }

    /**
     * Begin to give frames.
     *
     * @param side of the model's input: frames have at least so many pixels a side, where the camera has such.
     * @param displayDegrees by which the display is turned.
     * @throws Problem there is no camera, or Android does not give it.
     */
    void open(int side, int displayDegrees) throws Problem {
        thread.start();
        handler = new Handler(thread.getLooper());
        try {
            String id = backCamera();
            CameraCharacteristics about = manager.getCameraCharacteristics(id);
            StreamConfigurationMap streams = about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
            Size size = smallestAbove(streams.getOutputSizes(ImageFormat.YUV_420_888), side);
            orientation = Yuv.orientation(about.get(CameraCharacteristics.SENSOR_ORIENTATION) - displayDegrees);
            reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, 2);
            reader.setOnImageAvailableListener(new Frames(), handler);
            manager.openCamera(id, new Opened(), handler);
        } catch (CameraAccessException error) {
            throw new Problem("The camera cannot be opened: another app may use it, or it is switched off", error);
        } catch (SecurityException error) {
            throw new Problem("The camera may not be used; allow it in the settings of the app, or choose a picture", error);
        }
    }

    void close() {
        if (handler == null) {
            return;
        }
        handler.post(new Runnable() {
            @Override
            public void run() {
                if (device != null) {
                    device.close();
                }
                if (reader != null) {
                    reader.close();
                }
                device = null;
                reader = null;
                thread.quitSafely();
            }
        });
    }

    private String backCamera() throws CameraAccessException, Problem {
        String[] ids = manager.getCameraIdList();
        if (ids.length == 0) {
            throw new Problem("This device has no camera; choose a picture");
        }
        for (String id : ids) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == CameraCharacteristics.LENS_FACING_BACK) {
                return id;
            }
        }
        return ids[0];
    }

    private static Size smallestAbove(Size[] sizes, int side) {
        Size best = sizes[0];
        for (Size each : sizes) {
            boolean enough = Math.min(each.getWidth(), each.getHeight()) >= side;
            boolean bestIsEnough = Math.min(best.getWidth(), best.getHeight()) >= side;
            boolean smaller = each.getWidth() * each.getHeight() < best.getWidth() * best.getHeight();
            if (enough ? !bestIsEnough || smaller : !bestIsEnough && !smaller) {
                best = each;
            }
        }
        return best;
    }

    private final class Opened extends CameraDevice.StateCallback {
        @Override
        public void onOpened(CameraDevice opened) {
            device = opened;
            try {
                opened.createCaptureSession(Collections.singletonList(reader.getSurface()), new Session(), handler);
            } catch (CameraAccessException error) {
                listener.failed("The camera stopped; try again");
            }
        }

        @Override
        public void onDisconnected(CameraDevice lost) {
            lost.close();
            device = null;
            listener.failed("Another app took the camera; try again");
        }

        @Override
        public void onError(CameraDevice lost, int code) {
            lost.close();
            device = null;
            listener.failed("The camera failed with code " + code + "; try again");
        }
    }

    private final class Session extends CameraCaptureSession.StateCallback {
        @Override
        public void onConfigured(CameraCaptureSession session) {
            try {
                CaptureRequest.Builder request = device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
                request.addTarget(reader.getSurface());
                session.setRepeatingRequest(request.build(), null, handler);
            } catch (CameraAccessException | IllegalStateException error) {
                listener.failed("The camera stopped; try again");
            }
        }

        @Override
        public void onConfigureFailed(CameraCaptureSession session) {
            listener.failed("The camera gives no frames of this size; choose a picture");
        }
    }

    private final class Frames implements ImageReader.OnImageAvailableListener {
        @Override
        public void onImageAvailable(ImageReader source) {
            Image image = source.acquireLatestImage();
            if (image == null) {
                return;
            }
            try {
                if (!listener.isBusy()) {
                    listener.frame(picture(image).upright(orientation));
                }
            } catch (Problem problem) {
                listener.failed(problem.getMessage());
            } catch (OutOfMemoryError error) {
                listener.failed(Problem.textOf("The camera's frame cannot be used", error));
            } finally {
                image.close();
            }
        }
    }

    private static Picture picture(Image image) throws Problem {
        Yuv.Plane[] planes = new Yuv.Plane[3];
        for (int i = 0; i < 3; i++) {
            Image.Plane plane = image.getPlanes()[i];
            planes[i] = new Yuv.Plane(plane.getBuffer(), plane.getRowStride(), plane.getPixelStride());
        }
        return Yuv.picture(image.getWidth(), image.getHeight(), planes[0], planes[1], planes[2], 1);
    }
}
