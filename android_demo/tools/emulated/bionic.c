// What Android's C library has and glibc has not, or has in another form, so that an app's native libraries run on Linux.
//
// The libraries are copies in which rebind.py made the last letter of some imports a capital: those whose types or numbers
// differ (pthread_mutex_t is 40 bytes on Android and 48 in glibc for arm64; sysconf's names have other numbers). They are
// defined here.
// An object of theirs keeps a pointer to glibc's own object; zeroed memory is an initialised object.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- objects of threads ------------------------------------------------------------------------------------------------

typedef struct { int type; int place[9]; } Object;  // 40 bytes, the smallest of them; at multiples of 4

static void** slot(Object* object) { return (void**)(((size_t)object->place + 7) & ~(size_t)7); }

static void* own(Object* object, size_t size, void (*make)(void*, int)) {
  void* found = __atomic_load_n(slot(object), __ATOMIC_ACQUIRE);
  if (found) return found;
  void* made = calloc(1, size);
  make(made, object->type);
  if (__atomic_compare_exchange_n(slot(object), &found, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return made;
  free(made);  // another thread was first
  return found;
}

static void begin(Object* object, int type) {
  memset(object, 0, sizeof *object);
  object->type = type;
}

static void end(Object* object) {
  free(*slot(object));
  begin(object, 0);
}

static void make_mutex(void* mutex, int recursive) {
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  if (recursive) pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(mutex, &kind);
}
static void make_cond(void* cond, int type) { (void)type; pthread_cond_init(cond, NULL); }
static void make_lock(void* lock, int type) { (void)type; pthread_rwlock_init(lock, NULL); }

static pthread_mutex_t* mutex_of(Object* each) { return own(each, sizeof(pthread_mutex_t), make_mutex); }
static pthread_cond_t* cond_of(Object* each) { return own(each, sizeof(pthread_cond_t), make_cond); }
static pthread_rwlock_t* lock_of(Object* each) { return own(each, sizeof(pthread_rwlock_t), make_lock); }

int pthread_mutex_iniT(Object* mutex, const pthread_mutexattr_t* kind) {
  int type = 0;
  if (kind) pthread_mutexattr_gettype(kind, &type);
  begin(mutex, type == PTHREAD_MUTEX_RECURSIVE);
  return 0;
}
int pthread_mutex_destroY(Object* mutex) { end(mutex); return 0; }
int pthread_mutex_locK(Object* mutex) { return pthread_mutex_lock(mutex_of(mutex)); }
int pthread_mutex_trylocK(Object* mutex) { return pthread_mutex_trylock(mutex_of(mutex)); }
int pthread_mutex_unlocK(Object* mutex) { return pthread_mutex_unlock(mutex_of(mutex)); }

int pthread_cond_iniT(Object* cond, const void* kind) { (void)kind; begin(cond, 0); return 0; }
int pthread_cond_destroY(Object* cond) { end(cond); return 0; }
int pthread_cond_signaL(Object* cond) { return pthread_cond_signal(cond_of(cond)); }
int pthread_cond_broadcasT(Object* cond) { return pthread_cond_broadcast(cond_of(cond)); }
int pthread_cond_waiT(Object* cond, Object* mutex) { return pthread_cond_wait(cond_of(cond), mutex_of(mutex)); }
int pthread_cond_timedwaiT(Object* cond, Object* mutex, const struct timespec* until) {
  return pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), until);
}

int pthread_rwlock_rdlocK(Object* lock) { return pthread_rwlock_rdlock(lock_of(lock)); }
int pthread_rwlock_wrlocK(Object* lock) { return pthread_rwlock_wrlock(lock_of(lock)); }
int pthread_rwlock_unlocK(Object* lock) { return pthread_rwlock_unlock(lock_of(lock)); }

// The size of a new thread's stack is the one property that is asked for.
typedef struct { size_t stack; } Attributes;
int pthread_attr_iniT(Attributes* each) { each->stack = 0; return 0; }
int pthread_attr_destroY(Attributes* each) { (void)each; return 0; }
int pthread_attr_setstacksizE(Attributes* each, size_t size) { each->stack = size; return 0; }
int pthread_creatE(pthread_t* thread, const Attributes* asked, void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (asked && asked->stack) pthread_attr_setstacksize(&attributes, asked->stack);
  return pthread_create(thread, &attributes, run, argument);
}

// --- signals: a set is one word there ------------------------------------------------------------------------------------

int sigemptyseT(unsigned long* set) { *set = 0; return 0; }
int sigfillseT(unsigned long* set) { *set = ~0ul; return 0; }
int sigaddseT(unsigned long* set, int number) { *set |= 1ul << (number - 1); return 0; }
int pthread_sigmasK(int how, const unsigned long* set, unsigned long* old) {
  sigset_t given, before;
  sigemptyset(&given);
  for (int number = 1; set && number < 32; number++)
    if (*set >> (number - 1) & 1) sigaddset(&given, number);
  if (old) *old = 0;
  return pthread_sigmask(how, set ? &given : NULL, &before);
}

// --- the system ------------------------------------------------------------------------------------------------------------

long sysconF(int name) {
  switch (name) {
    case 0x27: case 0x28: return sysconf(_SC_PAGESIZE);
    case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x62: return sysconf(_SC_PHYS_PAGES);
    case 0x63: return sysconf(_SC_AVPHYS_PAGES);
    default: errno = EINVAL; return -1;
  }
}

int* __errno(void) { return __errno_location(); }
size_t __strlen_chk(const char* text, size_t size) { (void)size; return strlen(text); }
char* __gnu_strerror_r(int number, char* text, size_t size) { return strerror_r(number, text, size); }
int __system_property_get(const char* name, char* value) { (void)name; value[0] = 0; return 0; }
void android_set_abort_message(const char* text) { fprintf(stderr, "abort: %s\n", text); }

// --- files: stdin, stdout and stderr are places in an array there ---------------------------------------------------------

char __sF[3][152];
static FILE* real(void* file) {
  for (int i = 0; i < 3; i++)
    if (file == __sF[i]) return i == 0 ? stdin : i == 1 ? stdout : stderr;
  return file;
}
int fflusH(void* file) { return fflush(real(file)); }
int fputC(int sign, void* file) { return fputc(sign, real(file)); }
int fputS(const char* text, void* file) { return fputs(text, real(file)); }
int getC(void* file) { return getc(real(file)); }
int putS(const char* text) { return puts(text); }
ssize_t writE(int file, const void* data, size_t size) { return write(file, data, size); }  // the end of fwrite's name
int ungetC(int sign, void* file) { return ungetc(sign, real(file)); }
size_t fwritE(const void* data, size_t size, size_t count, void* file) { return fwrite(data, size, count, real(file)); }
int vfprintF(void* file, const char* format, va_list values) { return vfprintf(real(file), format, values); }
int fprintF(void* file, const char* format, ...) {
  va_list values;
  va_start(values, format);
  const int count = vfprintf(real(file), format, values);
  va_end(values);
  return count;
}

// --- the log --------------------------------------------------------------------------------------------------------------

int __android_log_vprint(int level, const char* tag, const char* format, va_list values) {
  if (level < 5) return 0;  // 5 is a warning
  fprintf(stderr, "%s: ", tag ? tag : "");
  vfprintf(stderr, format, values);
  return fputc('\n', stderr);
}
int __android_log_print(int level, const char* tag, const char* format, ...) {
  va_list values;
  va_start(values, format);
  const int count = __android_log_vprint(level, tag, format, values);
  va_end(values);
  return count;
}
int __android_log_write(int level, const char* tag, const char* text) { return __android_log_print(level, tag, "%s", text); }
