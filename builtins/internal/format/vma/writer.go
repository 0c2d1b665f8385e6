package vma

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Writer writes one archive, front to back, without seeking. It holds one
// extent in memory. It is used by one goroutine; after an error it stays
// broken.
type Writer struct {
	w       io.Writer
	uuid    [16]byte
	devices []Device
	byID    []*seen
	limit   int // clusters in an extent
	err     error

	buf    []byte // header and blocks of the extent at hand
	used   int    // entries in it
	wrote  bool   // at least one extent has gone out
	closed bool
}

// NewWriter checks and writes the archive header. The caller chooses the UUID;
// devices are ordered by ID.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	if err := checkHeader(h); err != nil {
		return nil, fmt.Errorf("write vma header: %w", err)
	}
	raw, err := buildHeader(h)
	if err != nil {
		return nil, fmt.Errorf("write vma header: %w", err)
	}
	if _, err := w.Write(raw); err != nil {
		return nil, fmt.Errorf("write vma header: %w", err)
	}
	return &Writer{
		w: w, uuid: h.UUID, devices: h.Devices, byID: newSeen(h.Devices), limit: writerClusters,
		buf: make([]byte, extentHeaderSize, extentHeaderSize+extentClusters*clusterSize),
	}, nil
}

// buildHeader lays the header out: blobs from byte 1, unaligned, the table
// rounded up to 512, its length field not.
func buildHeader(h Header) ([]byte, error) {
	raw, blobs := make([]byte, headerSize), []byte{0}
	put := func(field int, data []byte) {
		binary.BigEndian.PutUint32(raw[field:], uint32(len(blobs)))
		blobs = binary.LittleEndian.AppendUint16(blobs, uint16(len(data)))
		blobs = append(blobs, data...)
	}
	for i, c := range h.Configs {
		put(hdrNames+4*i, append([]byte(c.Name), 0))
		put(hdrData+4*i, c.Data)
	}
	for _, d := range h.Devices {
		at := hdrDevices + devEntrySize*d.ID
		put(at, append([]byte(d.Name), 0))
		binary.BigEndian.PutUint64(raw[at+8:], uint64(d.Size))
	}
	used := len(blobs)
	blobs = append(blobs, make([]byte, (512-used%512)%512)...)
	if headerSize+len(blobs) > maxHeaderSize {
		return nil, fmt.Errorf("header needs %d bytes, at most %d are allowed", headerSize+len(blobs), maxHeaderSize)
	}
	copy(raw, headerMagic[:])
	binary.BigEndian.PutUint32(raw[hdrVersion:], 1)
	copy(raw[hdrUUID:], h.UUID[:])
	binary.BigEndian.PutUint64(raw[hdrCreated:], uint64(h.Created.Unix()))
	binary.BigEndian.PutUint32(raw[hdrBlobOffset:], headerSize)
	binary.BigEndian.PutUint32(raw[hdrBlobSize:], uint32(used))
	binary.BigEndian.PutUint32(raw[hdrSize:], uint32(headerSize+len(blobs)))
	raw = append(raw, blobs...)
	sum := md5.Sum(raw)
	copy(raw[hdrMD5:], sum[:])
	return raw, nil
}

// WriteCluster takes one cluster of 65536 bytes, the last of a device cut at
// the device's end; nil stands for zeros. Clusters may come in any order and
// mix, each exactly once; those of a vmstate in order, the last one filled up.
// The data is copied.
func (w *Writer) WriteCluster(devID int, cluster uint32, data []byte) error {
	if w.err != nil {
		return w.err
	}
	w.err = w.writeCluster(devID, cluster, data)
	return w.err
}

func (w *Writer) writeCluster(devID int, cluster uint32, data []byte) error {
	if w.closed {
		return errors.New("write vma: the writer is closed")
	}
	if devID < 1 || devID > maxDeviceID || w.byID[devID] == nil {
		return fmt.Errorf("write vma: device %d is not in the header", devID)
	}
	s := w.byID[devID]
	want := int64(clusterSize)
	if !s.stream {
		want = min(want, s.device.Size-int64(cluster)*clusterSize)
	}
	if data != nil && want > 0 && int64(len(data)) != want {
		return fmt.Errorf("write vma: cluster %d of device %d (%s) has %d bytes, %d are due", cluster, devID, s.device.Name, len(data), want)
	}
	if err := s.add(cluster); err != nil {
		return fmt.Errorf("write vma: device %d (%s): %w", devID, s.device.Name, err)
	}
	mask := w.store(data)
	info := w.buf[extInfo+8*w.used:]
	binary.BigEndian.PutUint16(info, mask)
	info[3] = byte(devID)
	binary.BigEndian.PutUint32(info[4:], cluster)
	if w.used++; w.used == w.limit {
		return w.flush()
	}
	return nil
}

// zeros is what a block is compared with; it is never written.
var zeros [blockSize]byte

// store appends the blocks that are not zero and returns which those are.
func (w *Writer) store(data []byte) (mask uint16) {
	for j := 0; len(data) > 0; j++ {
		n := min(blockSize, len(data))
		if !bytes.Equal(data[:n], zeros[:n]) {
			mask |= 1 << j
			w.buf = append(w.buf, data[:n]...)
			w.buf = append(w.buf, zeros[n:]...)
		}
		data = data[n:]
	}
	return mask
}

// flush sends the extent at hand off in one write.
func (w *Writer) flush() error {
	head := w.buf[:extentHeaderSize]
	copy(head, extentMagic[:])
	binary.BigEndian.PutUint16(head[extBlocks:], uint16((len(w.buf)-extentHeaderSize)/blockSize))
	copy(head[extUUID:], w.uuid[:])
	sum := md5.Sum(head)
	copy(head[extMD5:], sum[:])
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("write vma extent: %w", err)
	}
	w.wrote = true
	w.used = 0
	w.buf = w.buf[:extentHeaderSize]
	clear(w.buf)
	return nil
}

// Close writes what is left. It refuses to finish an archive that lacks a
// cluster; the bytes written so far are then no archive. It does not close the
// writer below.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return nil
	}
	w.closed = true
	if w.err = complete(w.devices, w.byID); w.err != nil {
		w.err = fmt.Errorf("finish vma: %w", w.err)
		return w.err
	}
	if w.used > 0 || !w.wrote {
		w.err = w.flush()
	}
	return w.err
}
