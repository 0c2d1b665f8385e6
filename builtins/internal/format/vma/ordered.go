package vma

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Ordered reads all extents and writes each device to its writer in order, from its
// first byte to its last, zeros included; a vmstate in whole clusters. open is called once
// for every device, before anything is read. Clusters that come early, as in a backup of a
// running machine, wait in the spool.
//
// The errors are those of Walk, of a writer, and ErrSpoolFull. The writers have got bytes before
// a fault further on is seen: only when Ordered returns nil is each of them a whole disk. It
// does not close them.
func (r *Reader) Ordered(ctx context.Context, spool *Spool, open func(Device) (io.Writer, error)) error {
	out := &sorter{spool: spool}
	for _, d := range r.header.Devices {
		w, err := open(d)
		if err != nil {
			return fmt.Errorf("open target of device %d (%s): %w", d.ID, d.Name, err)
		}
		out.lanes[d.ID] = &lane{w: w, held: map[int64]int64{}}
	}
	return r.walk(ctx, out)
}

// sorter brings the clusters of each device into order.
type sorter struct {
	spool *Spool
	lanes [256]*lane
	whole [clusterSize]byte
}

// lane is one device: everything before cluster next is written.
type lane struct {
	w    io.Writer
	next int64
	held map[int64]int64 // clusters that came early and are not zero: their places in the spool
}

// noughts is a cluster of zeros; it is never written.
var noughts [clusterSize]byte

func (s *sorter) flush() error { return nil }

func (s *sorter) cluster(d *seen, e entry, blocks []byte) error {
	l := s.lanes[d.device.ID]
	at := int64(e.cluster)
	if at != l.next {
		if e.mask == 0 {
			return nil // that it came is noted, and where nothing is held there are zeros
		}
		place, err := s.spool.put(s.expand(e.mask, blocks))
		if err != nil {
			return err
		}
		l.held[at] = place
		return nil
	}
	if err := l.write(d, s.expand(e.mask, blocks)); err != nil {
		return err
	}
	for d.has(l.next) {
		place, held := l.held[l.next]
		data := noughts[:]
		if held {
			delete(l.held, l.next)
			if err := s.spool.take(place, s.whole[:]); err != nil {
				return err
			}
			data = s.whole[:]
		}
		if err := l.write(d, data); err != nil {
			return err
		}
	}
	return nil
}

// expand returns the cluster with its blocks of zeros.
func (s *sorter) expand(mask uint16, blocks []byte) []byte {
	switch mask {
	case 0:
		return noughts[:]
	case fullMask:
		return blocks
	}
	clear(s.whole[:])
	for j := range clusterBlocks {
		if mask&(1<<j) != 0 {
			copy(s.whole[j*blockSize:], blocks[:blockSize])
			blocks = blocks[blockSize:]
		}
	}
	return s.whole[:]
}

// write writes the next cluster, cut at the end of the device.
func (l *lane) write(d *seen, data []byte) error {
	at := l.next * clusterSize
	if rest := d.device.Size - at; !d.stream && rest < int64(len(data)) {
		data = data[:rest]
	}
	if _, err := l.w.Write(data); err != nil {
		return fmt.Errorf("write device %d (%s) at offset %d: %w", d.device.ID, d.device.Name, at, err)
	}
	l.next++
	return nil
}

// Encode writes an archive whose disks are read one after the other, in the order of the header:
// what qmrestore takes. open gives each device's bytes; a reader with fewer or more than its
// size is an error, and what was written is then no archive.
func Encode(ctx context.Context, w io.Writer, h Header, open func(Device) (io.ReadCloser, error)) error {
	vw, err := NewWriter(w, h)
	if err != nil {
		return err
	}
	for _, d := range h.Devices {
		if err := vw.copyDevice(ctx, d, open); err != nil {
			return err
		}
	}
	return vw.Close()
}

func (w *Writer) copyDevice(ctx context.Context, d Device, open func(Device) (io.ReadCloser, error)) (err error) {
	r, err := open(d)
	if err != nil {
		return fmt.Errorf("open device %d (%s): %w", d.ID, d.Name, err)
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	var cluster [clusterSize]byte
	for at := int64(0); at < d.Size; at += clusterSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		data := cluster[:]
		if d.Name != vmstate {
			data = data[:min(clusterSize, d.Size-at)]
		}
		if n, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("read device %d (%s) at offset %d: %w", d.ID, d.Name, at+int64(n), noEOF(err))
		}
		if err := w.WriteCluster(d.ID, uint32(at/clusterSize), data); err != nil {
			return err
		}
	}
	if err := ended(r); err != nil {
		return fmt.Errorf("read device %d (%s) at offset %d: %w", d.ID, d.Name, d.Size, err)
	}
	return nil
}

// ended holds that a reader has no more bytes. What the reader says itself comes first.
func ended(r io.Reader) error {
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n > 0:
			return errors.New("there is more than its size")
		case err != nil:
			return nil
		}
	}
}

// noEOF words an end that came too early.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
