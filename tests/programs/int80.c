// Makes the 32-bit system call that it is told to make, with int $0x80: a failing execve or execveat.
//
// Built twice, without libc: as a 32-bit program (-m32, which then needs no 32-bit libc), and as a 64-bit
// program, whose memory lies below 4 GiB (-static -no-pie), since the kernel reads 32-bit pointers.
//
// It reads its request from descriptor 3 and writes there what the system call returned (32-bit int):
//   int32 number, dirfd, flags, argc, envc; then path, argv and envp, each string with its NUL.

enum { SOCKET = 3, READ = 3, WRITE = 4, EXIT = 1, EXECVE = 11 };

struct request {
    int number, dirfd, flags, argc, envc;
    char strings[65536];
};

static struct request request;
static unsigned pointers[2048];
static int result;

// What int $0x80 takes is a 32-bit number, whatever the program.
static unsigned address(const void *memory)
{
    return (unsigned)(unsigned long)memory;
}

static int int80(int number, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e)
{
    int value;
    __asm__ volatile("int $0x80"
                     : "=a"(value)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
#ifdef __x86_64__
                     : "memory", "r8", "r9", "r10", "r11");
#else
                     : "memory");
#endif
    return value;
}

// The request came as one message, which a stream socket hands over as it was sent.
static int receive(void)
{
    return int80(READ, SOCKET, address(&request), sizeof request, 0, 0) > 0;
}

static char *after(char *string)
{
    while (*string)
        string++;
    return string + 1;
}

void _start(void)
{
    if (!receive())
        int80(EXIT, 1, 0, 0, 0, 0);
    char *string = after(request.strings);
    unsigned *argv = pointers, *envp = pointers + request.argc + 1;
    for (int i = 0; i < request.argc; i++, string = after(string))
        argv[i] = address(string);
    for (int i = 0; i < request.envc; i++, string = after(string))
        envp[i] = address(string);
    argv[request.argc] = envp[request.envc] = 0; // written, so that its page is there to be read
    unsigned path = address(request.strings);
    if (request.number == EXECVE)
        result = int80(request.number, path, address(argv), address(envp), 0, 0);
    else
        result = int80(request.number, request.dirfd, path, address(argv), address(envp), request.flags);
    int80(WRITE, SOCKET, address(&result), sizeof result, 0, 0);
    int80(READ, SOCKET, address(&request), sizeof request, 0, 0); // until it is let go
    int80(EXIT, 0, 0, 0, 0, 0);
}
