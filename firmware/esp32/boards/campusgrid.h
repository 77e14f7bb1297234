// what a meter needs beside MicroPython's defaults, and what it does without

#define MICROPY_VFS_ROM (1)              // updates are ROMFS images, read where they lie
#define MICROPY_HW_ENABLE_UART_REPL (1)  // a console for modules without USB too
#define MICROPY_PY_BLUETOOTH (0)
#define MICROPY_PY_ESPNOW (0)
