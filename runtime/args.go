package runtime

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// Param is one argument of a primitive or of a constructor.
type Param struct {
	Name     string
	Type     string // as errors name it
	Optional bool
	Doc      string
	Names    string // what it names in the site: "target", "asset", "proxmox"; else ""
}

// TypeNamed is implemented by types that keep their name in Starlark.
type TypeNamed interface{ StarlarkType() string }

// Params lists the arguments that the fields of A declare.
func Params[A any]() []Param { return params[A]() }

// params lists the arguments that the fields of A declare.
func params[A any]() []Param {
	t := reflect.TypeFor[A]()
	var out []Param
	for i := range t.NumField() {
		f := t.Field(i)
		name, optional := strings.CutSuffix(f.Tag.Get("star"), "?")
		if name == "" {
			continue
		}
		out = append(out, Param{name, typeName(f.Type), optional, f.Tag.Get("doc"), f.Tag.Get("names")})
	}
	return out
}

// named gives the name of types that keep one in Starlark.
func named(t reflect.Type) (string, bool) {
	if t.Kind() == reflect.Pointer {
		return "", false
	}
	n, ok := reflect.Zero(t).Interface().(TypeNamed)
	if !ok {
		return "", false
	}
	return n.StarlarkType(), true
}

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[time.Time]():
		return "date"
	case reflect.TypeFor[json.RawMessage]():
		return "any"
	}
	if n, ok := named(t); ok {
		return n
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "dict of " + typeName(t.Elem())
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Interface:
		return "any"
	}
	return t.Kind().String()
}

// field is the starlark.Unpacker of one struct field.
type field struct {
	v        reflect.Value
	name     string
	optional bool
	bad      func(name string, err error)
}

// Unpack implements starlark.Unpacker.
func (f *field) Unpack(v starlark.Value) error {
	if v == starlark.None && f.optional {
		return nil
	}
	err := fill(f.v, v)
	if err != nil && f.bad != nil {
		f.bad(f.name, err)
		return nil
	}
	return err
}

func want(t reflect.Type, v starlark.Value) error {
	if want := typeName(t); v.Type() == "string" && want == "int" {
		return fmt.Errorf("got string, want int\nhint: int(…) makes one; what --arg gives is always a string")
	}
	return fmt.Errorf("got %s, want %s", v.Type(), typeName(t))
}

func fill(dst reflect.Value, v starlark.Value) error {
	t := dst.Type()
	if u, ok := v.(*unknownValue); ok {
		return u.end()
	}
	switch t {
	case reflect.TypeFor[time.Duration]():
		return fillDuration(dst, v)
	case reflect.TypeFor[time.Time]():
		return fillTime(dst, v)
	}
	if own, ok := dst.Addr().Interface().(starlark.Unpacker); ok {
		return own.Unpack(v)
	}
	if n, ok := named(t); ok {
		return fillNamed(dst, v, n)
	}
	switch t.Kind() {
	case reflect.String:
		s, ok := starlark.AsString(v)
		if !ok {
			return want(t, v)
		}
		dst.SetString(s)
	case reflect.Bool:
		b, ok := v.(starlark.Bool)
		if !ok {
			return want(t, v)
		}
		dst.SetBool(bool(b))
	case reflect.Int, reflect.Int64:
		var n int64
		if err := starlark.AsInt(v, &n); err != nil {
			return want(t, v)
		}
		dst.SetInt(n)
	case reflect.Float64:
		x, ok := starlark.AsFloat(v)
		if !ok {
			return want(t, v)
		}
		dst.SetFloat(x)
	case reflect.Pointer:
		dst.Set(reflect.New(t.Elem()))
		return fill(dst.Elem(), v)
	case reflect.Slice:
		return fillSlice(dst, v)
	case reflect.Map:
		return fillMap(dst, v)
	case reflect.Interface:
		x, err := toGo(v)
		if err != nil {
			return err
		}
		if x != nil {
			dst.Set(reflect.ValueOf(x))
		}
	default:
		return want(t, v)
	}
	return nil
}

// fillDuration takes a text such as "28d", or seconds as time.duration returns them.
func fillDuration(dst reflect.Value, v starlark.Value) error {
	if n, ok := v.(starlark.Int); ok {
		seconds, fits := n.Int64()
		if !fits || seconds < 0 || seconds > int64(math.MaxInt64/time.Second) {
			return fmt.Errorf("got %s seconds, want a duration such as \"36h\" or \"28d\"", n)
		}
		dst.SetInt(int64(time.Duration(seconds) * time.Second))
		return nil
	}
	if s, ok := starlark.AsString(v); ok {
		d, err := ParseDuration(s)
		if err != nil {
			return err
		}
		dst.SetInt(int64(d))
		return nil
	}
	return fmt.Errorf("got %s, want a duration such as \"36h\" or \"28d\"", v.Type())
}

// ParseDuration reads Go's durations and, beyond them, days, weeks and years of
// 365 days: "90m", "7d", "1w", "25y".
func ParseDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}
	if n := len(s); n > 1 {
		if unit, ok := units[s[n-1]]; ok {
			var k int64
			if _, err := fmt.Sscanf(s[:n-1], "%d", &k); err != nil || fmt.Sprint(k) != s[:n-1] || k < 0 || k > int64(1<<63-1)/int64(unit) {
				return 0, fmt.Errorf("bad duration %q: write 36h, 7d, 2w or 1y", s)
			}
			return time.Duration(k) * unit, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("bad duration %q: write 36h, 7d, 2w or 1y", s)
	}
	return d, nil
}

func fillTime(dst reflect.Value, v starlark.Value) error {
	if t, ok := v.(Time); ok {
		dst.Set(reflect.ValueOf(t.t))
		return nil
	}
	s, _ := starlark.AsString(v)
	t, err := parseTime(s)
	if err != nil {
		return fmt.Errorf("got %s, want a date such as \"2027-01-31\"", v)
	}
	dst.Set(reflect.ValueOf(t))
	return nil
}

func fillNamed(dst reflect.Value, v starlark.Value, name string) error {
	switch x := v.(type) {
	case Opaque:
		if rv := reflect.ValueOf(x.Value()); rv.Type() == dst.Type() {
			dst.Set(rv)
			return nil
		}
	case *Object:
		if x.typ == name {
			return json.Unmarshal(x.raw, dst.Addr().Interface())
		}
	}
	return fmt.Errorf("got %s, want %s", v.Type(), name)
}

func fillSlice(dst reflect.Value, v starlark.Value) error {
	it, ok := v.(starlark.Iterable)
	if _, str := v.(starlark.String); !ok || str {
		return want(dst.Type(), v)
	}
	iter := it.Iterate()
	defer iter.Done()
	out := reflect.MakeSlice(dst.Type(), 0, max(0, starlark.Len(v)))
	var x starlark.Value
	for i := 0; iter.Next(&x); i++ {
		e := reflect.New(dst.Type().Elem()).Elem()
		if err := fill(e, x); err != nil {
			if _, end := err.(*planEnd); end {
				return err
			}
			return fmt.Errorf("element %d: %w", i, err)
		}
		out = reflect.Append(out, e)
	}
	dst.Set(out)
	return nil
}

func fillMap(dst reflect.Value, v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return want(dst.Type(), v)
	}
	out := reflect.MakeMap(dst.Type())
	for _, kv := range d.Items() {
		k, ok := starlark.AsString(kv[0])
		if !ok {
			return fmt.Errorf("key %s: got %s, want string", kv[0], kv[0].Type())
		}
		e := reflect.New(dst.Type().Elem()).Elem()
		if err := fill(e, kv[1]); err != nil {
			return fmt.Errorf("key %q: %w", k, err)
		}
		out.SetMapIndex(reflect.ValueOf(k), e)
	}
	dst.Set(out)
	return nil
}

// encodeArgs gives the recorded form of arguments: by name; artifacts and copies
// by their id.
func encodeArgs(a any) (json.RawMessage, error) {
	v := reflect.ValueOf(a).Elem()
	out := map[string]any{}
	for i := range v.NumField() {
		name := strings.TrimSuffix(v.Type().Field(i).Tag.Get("star"), "?")
		if name == "" || v.Field(i).IsZero() {
			continue
		}
		out[name] = short(v.Field(i))
	}
	return ledger.Canonical(out)
}

func short(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case interface{ LedgerID() string }:
		return map[string]string{"id": x.LedgerID()}
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		return short(v.Elem())
	}
	if v.Kind() == reflect.Slice {
		out := make([]any, v.Len())
		for i := range out {
			out[i] = short(v.Index(i))
		}
		return out
	}
	return v.Interface()
}

// decodeArgs reads recorded arguments of simple types back: for undo.
func decodeArgs(raw json.RawMessage, a any) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("decode recorded arguments: %w", err)
	}
	v := reflect.ValueOf(a).Elem()
	for i := range v.NumField() {
		name := strings.TrimSuffix(v.Type().Field(i).Tag.Get("star"), "?")
		x, ok := m[name]
		if !ok || name == "" {
			continue
		}
		if d, isDuration := v.Field(i).Addr().Interface().(*time.Duration); isDuration {
			var s string
			if err := json.Unmarshal(x, &s); err != nil {
				return err
			}
			var err error
			if *d, err = time.ParseDuration(s); err != nil {
				return err
			}
			continue
		}
		if err := json.Unmarshal(x, v.Field(i).Addr().Interface()); err != nil {
			return fmt.Errorf("decode recorded argument %s: %w", name, err)
		}
	}
	return nil
}
