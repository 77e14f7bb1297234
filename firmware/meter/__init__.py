"""The campusgrid meter: reads an electricity meter's registers, signs them, and keeps them until they are receipted."""
