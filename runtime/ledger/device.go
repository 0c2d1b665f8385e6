package ledger

// Device identifies the medium behind a directory, as looked up when a copy
// was written: never as declared, so that two folders on one disk are one
// device.
type Device struct {
	ID        string `json:"id"`                  // stable identity: "serial:…", else "uuid:…", else "host:…"
	Serial    string `json:"serial,omitempty"`    // of the disk, as udev or sysfs gives it
	UUID      string `json:"uuid,omitempty"`      // of the file system
	Label     string `json:"label,omitempty"`     // of the file system; never identity
	FS        string `json:"fs,omitempty"`        // type of the file system
	Mount     string `json:"mount,omitempty"`     // where it is mounted
	Removable bool   `json:"removable,omitempty"` // USB or other hot-plug bus
}
