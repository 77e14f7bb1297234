#define MICROPY_HW_BOARD_NAME "campusgrid meter"
#define MICROPY_HW_MCU_NAME "ESP32S3"
#include "../campusgrid.h"
