package archive

import (
	"errors"
	"fmt"
)

var (
	// ErrUnknown is the error for a name that is not that of an archive.
	ErrUnknown = errors.New("the name does not say which archive this is")
	// ErrUnsupported is the error for an archive that may be sound, but that
	// this package cannot open: packed with lzo, a zstd window above 128 MiB or
	// a zstd dictionary, a dialect of tar that is not known.
	ErrUnsupported = errors.New("archive cannot be opened by runner")
)

// Error means that the archive itself is at fault: damaged, cut, or made to do
// harm. Errors of the source, of the context and of targets are never of this
// type.
type Error struct {
	Name string // of the file, as given
	What string
	Err  error // the cause, or nil
}

func (e *Error) Error() string {
	text := e.Name + " is damaged"
	if e.What != "" {
		text += ": " + e.What
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// unsupportedf makes an error that wraps ErrUnsupported.
func unsupportedf(name, format string, args ...any) error {
	return fmt.Errorf("open %s: %w: %s", name, ErrUnsupported, fmt.Sprintf(format, args...))
}
