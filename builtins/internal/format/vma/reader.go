package vma

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Reader reads one archive from front to back. It is used once, by one
// goroutine. It reads to the end of its source and takes what follows the last
// extent as an extent, so trailing bytes are refused.
type Reader struct {
	r      io.Reader
	header Header
	byID   []*seen
	offset int64 // of the next byte to be read
	used   bool

	extent []byte // header of the extent at hand
	data   []byte // its blocks
}

// NewReader reads and checks the archive header.
func NewReader(r io.Reader) (*Reader, error) {
	h, size, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	return &Reader{r: r, header: h, byID: newSeen(h.Devices), offset: size, extent: make([]byte, extentHeaderSize)}, nil
}

// Header returns what stands before the first extent. The caller may keep it;
// it is shared, so it must not be changed.
func (r *Reader) Header() Header { return r.header }

// Walk reads all extents and calls fn for every run of stored bytes, in the
// order of the archive: any device, any offset. The offset counts bytes from
// the start of the device; data is cut at the device's end, belongs to the
// reader and is valid during the call. Everything not delivered is zero. Of a
// vmstate all clusters are delivered whole. With fn nil the archive is only
// verified.
//
// The error is a *Error when the archive is at fault, ctx.Err() when ctx ended,
// what fn returned, or what the source returned, wrapped. Bytes have been
// delivered before a fault further on is seen.
func (r *Reader) Walk(ctx context.Context, fn func(dev Device, offset int64, data []byte) error) error {
	if fn == nil {
		return r.walk(ctx, nil)
	}
	return r.walk(ctx, &merger{fn: fn})
}

// taker takes the clusters of an archive as they come. What it is given is valid during the
// call, and until flush, which ends each extent.
type taker interface {
	cluster(s *seen, e entry, blocks []byte) error
	flush() error
}

// walk reads all extents; out may be nil.
func (r *Reader) walk(ctx context.Context, out taker) error {
	if r.used {
		return errors.New("walk vma: the archive was read before")
	}
	r.used = true
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := r.offset
		more, err := r.nextExtent()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := r.deal(start, out); err != nil {
			return err
		}
	}
	if err := complete(r.header.Devices, r.byID); err != nil {
		return &Error{Offset: r.offset, What: "archive ends too early", Err: err}
	}
	return nil
}

// nextExtent reads one extent into the buffers. It returns false at the end.
func (r *Reader) nextExtent() (bool, error) {
	n, err := io.ReadFull(r.r, r.extent)
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, readFault(err, r.offset+int64(n), "archive ends within the header of an extent")
	}
	stored, err := r.checkExtent()
	if err != nil {
		return false, err
	}
	r.offset += extentHeaderSize
	size := stored * blockSize
	if cap(r.data) < size {
		r.data = make([]byte, size, min(2*size, extentClusters*clusterSize))
	}
	r.data = r.data[:size]
	if n, err = io.ReadFull(r.r, r.data); err != nil {
		return false, readFault(err, r.offset+int64(n), "archive ends within the data of an extent")
	}
	r.offset += int64(size)
	return true, nil
}

// checkExtent checks the extent header by itself and returns the number of
// blocks that follow it.
func (r *Reader) checkExtent() (int, error) {
	e := r.extent
	switch {
	case [4]byte(e) != extentMagic:
		return 0, faultf(r.offset, "no extent here: magic is %q", e[:4])
	case e[4] != 0 || e[5] != 0:
		return 0, faultf(r.offset, "reserved field of the extent is not zero")
	case [16]byte(e[extUUID:]) != r.header.UUID:
		return 0, faultf(r.offset, "extent has uuid %x, the archive %x", e[extUUID:extUUID+16], r.header.UUID)
	case !sumMatches(e, extMD5):
		return 0, faultf(r.offset, "extent header does not match its MD5")
	}
	stored := 0
	for i := range extentClusters {
		if en := entryAt(e, i); en.dev != 0 {
			stored += bits.OnesCount16(en.mask)
		}
	}
	if n := int(binary.BigEndian.Uint16(e[extBlocks:])); n != stored {
		return 0, faultf(r.offset, "extent counts %d blocks, its entries %d", n, stored)
	}
	return stored, nil
}

// entry is one cluster in an extent: bit j of mask says that block j is stored.
type entry struct {
	mask    uint16
	dev     byte
	cluster uint32
}

func entryAt(extent []byte, i int) entry {
	b := extent[extInfo+8*i:]
	return entry{mask: binary.BigEndian.Uint16(b), dev: b[3], cluster: binary.BigEndian.Uint32(b[4:])}
}

// deal hands the blocks of the extent at hand to their devices.
func (r *Reader) deal(start int64, out taker) error {
	at := 0
	for i := range extentClusters {
		e := entryAt(r.extent, i)
		if e.dev == 0 {
			continue
		}
		s := r.byID[e.dev]
		if s == nil {
			return faultf(start, "entry %d of the extent names device %d, which the header does not know", i, e.dev)
		}
		if err := s.add(e.cluster); err != nil {
			return faultf(start, "device %d (%s): %v", e.dev, s.device.Name, err)
		}
		n := bits.OnesCount16(e.mask) * blockSize
		blocks := r.data[at : at+n]
		at += n
		if err := s.fits(e); err != nil {
			return faultf(start, "device %d (%s): %v", e.dev, s.device.Name, err)
		}
		if out == nil {
			continue
		}
		if err := out.cluster(s, e, blocks); err != nil {
			return err
		}
	}
	if out == nil {
		return nil
	}
	return out.flush()
}

// fits refuses a stored block that starts past the end of the device. A full
// mask is taken, as Proxmox does: old writers filled the last cluster up.
func (s *seen) fits(e entry) error {
	if s.stream || e.mask == fullMask || e.mask == 0 {
		return nil
	}
	last := int64(bits.Len16(e.mask) - 1)
	if int64(e.cluster)*clusterSize+last*blockSize >= s.device.Size {
		return fmt.Errorf("block %d of cluster %d is stored past the end (%d bytes)", last, e.cluster, s.device.Size)
	}
	return nil
}
