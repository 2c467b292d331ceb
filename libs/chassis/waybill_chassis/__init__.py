"""What every Waybill service does alike: mechanism, never business words."""
