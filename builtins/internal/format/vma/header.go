package vma

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// readHeader reads and checks everything before the first extent, and returns
// its length too.
func readHeader(r io.Reader) (Header, int64, error) {
	raw := make([]byte, headerSize)
	if n, err := io.ReadFull(r, raw); err != nil {
		return Header{}, 0, readFault(err, int64(n), "archive ends within its header")
	}
	if [4]byte(raw) != headerMagic {
		return Header{}, 0, faultf(0, "magic is %q, not a vma archive", raw[:4])
	}
	if v := binary.BigEndian.Uint32(raw[hdrVersion:]); v != 1 {
		return Header{}, 0, faultf(hdrVersion, "version is %d, only 1 is known", v)
	}
	size := binary.BigEndian.Uint32(raw[hdrSize:])
	if size <= headerSize || size > maxHeaderSize {
		return Header{}, 0, faultf(hdrSize, "header size %d is outside %d to %d", size, headerSize+1, maxHeaderSize)
	}
	raw = append(raw, make([]byte, size-headerSize)...)
	if n, err := io.ReadFull(r, raw[headerSize:]); err != nil {
		return Header{}, 0, readFault(err, headerSize+int64(n), "archive ends within its header")
	}
	if !sumMatches(raw, hdrMD5) {
		return Header{}, 0, faultf(hdrMD5, "header does not match its MD5")
	}
	h, err := parseHeader(raw)
	if err != nil {
		return Header{}, 0, &Error{What: "header", Err: err}
	}
	return h, int64(size), nil
}

// readFault tells an end of the data, which is a fault of the archive, from a
// fault of the reader below.
func readFault(err error, offset int64, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return &Error{Offset: offset, What: what, Err: io.ErrUnexpectedEOF}
	}
	return fmt.Errorf("read vma at offset %d: %w", offset, err)
}

// sumMatches compares the MD5 stored at the offset with that of the bytes, its
// own field taken as zero.
func sumMatches(b []byte, at int) bool {
	stored := [md5Size]byte(b[at:])
	clear(b[at : at+md5Size])
	ok := md5.Sum(b) == stored
	copy(b[at:], stored[:])
	return ok
}

func parseHeader(raw []byte) (Header, error) {
	h := Header{
		UUID:    [16]byte(raw[hdrUUID:]),
		Created: time.Unix(int64(binary.BigEndian.Uint64(raw[hdrCreated:])), 0).UTC(),
	}
	blobs, err := findBlobs(raw)
	if err != nil {
		return h, err
	}
	for i := range maxConfigs {
		name, data := binary.BigEndian.Uint32(raw[hdrNames+4*i:]), binary.BigEndian.Uint32(raw[hdrData+4*i:])
		if name == 0 || data == 0 {
			continue // the slot counts only with both
		}
		c := Config{}
		if c.Name, err = blobs.str(name); err != nil {
			return h, fmt.Errorf("name of config slot %d: %w", i, err)
		}
		if c.Data, err = blobs.get(data); err != nil {
			return h, fmt.Errorf("data of config %q: %w", c.Name, err)
		}
		h.Configs = append(h.Configs, c)
	}
	for id := 1; id <= 255; id++ {
		entry := raw[hdrDevices+devEntrySize*id:]
		name, size := binary.BigEndian.Uint32(entry), binary.BigEndian.Uint64(entry[8:])
		if size == 0 {
			continue
		}
		if size > maxDeviceSize {
			return h, fmt.Errorf("device %d has size %d, more than %d", id, size, int64(maxDeviceSize))
		}
		d := Device{ID: id, Size: int64(size)}
		if d.Name, err = blobs.str(name); err != nil {
			return h, fmt.Errorf("name of device %d: %w", id, err)
		}
		h.Devices = append(h.Devices, d)
	}
	return h, checkHeader(h)
}

// blobTable holds those blobs that the header points to, by their pointer. A
// nil entry was asked for and not found.
type blobTable map[uint32][]byte

// findBlobs walks the blob buffer as Proxmox does: a pointer is good only when
// it leads to the start of a blob that lies wholly inside. Only wanted blobs
// are kept, so that a buffer of empty ones costs no memory.
func findBlobs(raw []byte) (blobTable, error) {
	offset, size := binary.BigEndian.Uint32(raw[hdrBlobOffset:]), binary.BigEndian.Uint32(raw[hdrBlobSize:])
	if offset < headerSize || uint64(offset)+uint64(size) > uint64(len(raw)) {
		return nil, fmt.Errorf("blob buffer at %d with %d bytes lies outside the header of %d bytes", offset, size, len(raw))
	}
	table := blobTable{}
	for i := range maxConfigs {
		table[binary.BigEndian.Uint32(raw[hdrNames+4*i:])] = nil
		table[binary.BigEndian.Uint32(raw[hdrData+4*i:])] = nil
		table[binary.BigEndian.Uint32(raw[hdrDevices+devEntrySize*i:])] = nil
	}
	buf := raw[offset : offset+size]
	for p := 1; p+2 <= len(buf); {
		end := p + 2 + int(binary.LittleEndian.Uint16(buf[p:]))
		if end > len(buf) {
			break
		}
		if _, wanted := table[uint32(p)]; wanted {
			table[uint32(p)] = append([]byte{}, buf[p+2:end]...)
		}
		p = end
	}
	return table, nil
}

func (t blobTable) get(p uint32) ([]byte, error) {
	if p == 0 || t[p] == nil {
		return nil, fmt.Errorf("pointer %d leads to no blob", p)
	}
	return t[p], nil
}

// str returns a blob that ends with its only NUL, without it.
func (t blobTable) str(p uint32) (string, error) {
	b, err := t.get(p)
	if err != nil {
		return "", err
	}
	if len(b) == 0 || b[len(b)-1] != 0 {
		return "", errors.New("string does not end with NUL")
	}
	s := string(b[:len(b)-1])
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("string %q has a NUL inside", s)
	}
	return s, nil
}
