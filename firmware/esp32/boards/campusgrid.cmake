# What all the meter's boards share; included by their mpconfigboard.cmake. MicroPython reads SDKCONFIG_DEFAULTS below its
# ports/esp32, and takes absolute paths too.

get_filename_component(CAMPUSGRID_DIR ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)

# the delivered copy of the meter, which no update replaces, lies in the firmware itself
set(MICROPY_FROZEN_MANIFEST ${CAMPUSGRID_DIR}/manifest.py)

function(campusgrid_flash MEGABYTES)
    set(SETTINGS ${CMAKE_BINARY_DIR}/campusgrid-flash.sdkconfig)
    file(WRITE ${SETTINGS}
        "CONFIG_ESPTOOLPY_FLASHSIZE_4MB=\n"
        "CONFIG_ESPTOOLPY_FLASHSIZE_${MEGABYTES}MB=y\n"
        "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
        "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${CAMPUSGRID_DIR}/partitions-${MEGABYTES}MiB.csv\"\n"
    )
    set(SDKCONFIG_DEFAULTS boards/sdkconfig.base ${CAMPUSGRID_CHIP} ${SETTINGS} PARENT_SCOPE)
endfunction()

if(IDF_TARGET STREQUAL esp32s3)
    set(CAMPUSGRID_CHIP boards/sdkconfig.usb boards/sdkconfig.spiram_sx)
elseif(IDF_TARGET STREQUAL esp32c3)
    set(CAMPUSGRID_CHIP boards/ESP32_GENERIC_C3/sdkconfig.c3usb)
else()
    set(CAMPUSGRID_CHIP)
endif()

campusgrid_flash(4)
