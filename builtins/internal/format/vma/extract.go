package vma

import (
	"context"
	"fmt"
	"io"
)

// Extract writes the disks out. It calls open once for every device, in the
// order of the header, before anything is read; nil instead of a writer leaves
// that device out, though it is verified all the same. Zero blocks are not
// written: the caller gives targets that read as zero, and brings them to
// Device.Size afterwards; closing and syncing are the caller's too. A vmstate
// is written whole, in order, and may be longer than its Size.
//
// Errors are those of Walk; one of a writer names the device and the offset. On
// an error the targets hold a part of the disks and are worth nothing.
func (r *Reader) Extract(ctx context.Context, open func(Device) (io.WriterAt, error)) error {
	writers := make([]io.WriterAt, 256)
	for _, d := range r.header.Devices {
		w, err := open(d)
		if err != nil {
			return fmt.Errorf("open target of device %d (%s): %w", d.ID, d.Name, err)
		}
		writers[d.ID] = w
	}
	return r.Walk(ctx, func(d Device, offset int64, data []byte) error {
		w := writers[d.ID]
		if w == nil {
			return nil
		}
		if _, err := w.WriteAt(data, offset); err != nil {
			return fmt.Errorf("write device %d (%s) at offset %d: %w", d.ID, d.Name, offset, err)
		}
		return nil
	})
}
