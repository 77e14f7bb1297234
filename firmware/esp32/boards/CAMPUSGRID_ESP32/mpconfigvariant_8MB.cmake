campusgrid_flash(8)
