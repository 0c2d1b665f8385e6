package zone

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"
)

// ParseBIND reads BIND text completely. origin completes relative names: "." for
// what Cloudflare exports, the zone's name for files of other servers. The records
// come in the order of the text, SOA included.
func ParseBIND(ctx context.Context, r io.Reader, origin string) ([]Record, error) {
	zp := dns.NewZoneParser(&guarded{ctx: ctx, r: bufio.NewReaderSize(r, 64<<10)}, dns.Fqdn(origin), "")
	zp.SetIncludeAllowed(false)
	zp.SetDefaultTTL(1)
	var out []Record
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		rec, err := fromRR(rr)
		if err != nil {
			return nil, err
		}
		if len(out) == MaxRecords {
			return nil, fmt.Errorf("read zone: more than %d records", MaxRecords)
		}
		out = append(out, rec)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := zp.Err(); err != nil {
		return nil, fmt.Errorf("read zone: %w", err)
	}
	return out, nil
}

// Legible makes Cloudflare's BIND text one that loads: it has one record on a line,
// and a line that cannot be read becomes a remark. It returns what the text then holds,
// and the lines that it does not.
func Legible(ctx context.Context, text []byte) (loads []byte, records, unread []Record, err error) {
	var out bytes.Buffer
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		got, err := ParseBIND(ctx, bytes.NewReader(line), ".")
		if err == nil {
			out.Write(line)
			records = append(records, got...)
			continue
		}
		r := lineRecord(string(line))
		r.Unread = strings.TrimPrefix(err.Error(), "read zone: ")
		unread = append(unread, r)
		out.WriteString("; cannot be read: ")
		out.Write(line)
	}
	return out.Bytes(), records, unread, nil
}

// lineRecord is what a line says of itself: NAME TTL IN TYPE DATA.
func lineRecord(line string) Record {
	o := object{}
	if f := strings.Fields(line); len(f) >= 4 && strings.EqualFold(f[2], "IN") {
		o.Name, o.Type = f[0], f[3]
		_, o.Content, _ = strings.Cut(line, f[3])
		o.Content = strings.TrimSpace(o.Content)
	}
	return o.unread(errors.New(""))
}

// guarded is a text that is bounded, ends with its context, and holds no
// $GENERATE at the beginning of a line. It reads line by line: a directive is one
// only there.
type guarded struct {
	ctx  context.Context
	r    *bufio.Reader
	line []byte
	read int64
	err  error
}

// maxLine bounds one line: the longest record has 64 KiB of data, which escapes
// make four times as long.
const maxLine = 1 << 20

func (g *guarded) Read(p []byte) (int, error) {
	for len(g.line) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		g.fill()
	}
	n := copy(p, g.line)
	g.line = g.line[n:]
	return n, nil
}

func (g *guarded) fill() {
	if g.err = g.ctx.Err(); g.err != nil {
		return
	}
	var line []byte
	for {
		part, err := g.r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			g.err = fmt.Errorf("a line is longer than %d bytes", maxLine)
			return
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			g.err = err
			break
		}
	}
	if g.read += int64(len(line)); g.read > MaxBytes {
		g.err = fmt.Errorf("the text is longer than %d bytes", int64(MaxBytes))
		return
	}
	if d := strings.ToUpper(strings.TrimLeft(string(line[:min(len(line), 64)]), " \t\r")); strings.HasPrefix(d, "$GENERATE") ||
		strings.HasPrefix(d, "$INCLUDE") {
		g.err = fmt.Errorf("%s is refused", d[:len("$GENERATE")])
		return
	}
	g.line = line
}

// Settle makes BIND text of Cloudflare one that depends on the zone alone and that
// a DNS server loads: the time of the export is left out, and the owner of the SOA
// gets its dot.
func Settle(text []byte) []byte {
	lines := strings.SplitAfter(string(text), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ";; Exported:") {
			lines[i] = ""
			continue
		}
		f := strings.Fields(l)
		if len(f) < 6 || f[2] != "IN" || f[3] != "SOA" || strings.HasPrefix(l, ";") {
			continue
		}
		for _, at := range []int{0, 4, 5} {
			f[at] = dns.Fqdn(f[at])
		}
		lines[i] = strings.Join(f[:4], "\t") + "\t" + strings.Join(f[4:], " ") + "\n"
	}
	return []byte(strings.Join(lines, ""))
}
