package runtime

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// Object is a recorded value with attributes: an artifact, a copy, a guest. It
// is immutable, and equal to another of the same type and content.
type Object struct {
	typ   string
	raw   json.RawMessage
	attrs starlark.StringDict
}

var (
	_ starlark.HasAttrs   = (*Object)(nil)
	_ starlark.Comparable = (*Object)(nil)
)

func (o *Object) Type() string         { return o.typ }
func (o *Object) Freeze()              {}
func (o *Object) Truth() starlark.Bool { return true }
func (o *Object) AttrNames() []string  { return o.attrs.Keys() }

func (o *Object) Hash() (uint32, error) { return starlark.String(o.raw).Hash() }

func (o *Object) String() string {
	var parts []string
	for _, k := range []string{"id", "name", "item", "target", "ok"} {
		if v, ok := o.attrs[k]; ok {
			parts = append(parts, k+" = "+v.String())
		}
	}
	return o.typ + "(" + strings.Join(parts, ", ") + ")"
}

// Attr implements starlark.HasAttrs.
func (o *Object) Attr(name string) (starlark.Value, error) {
	if v, ok := o.attrs[name]; ok {
		return v, nil
	}
	return nil, nil
}

// CompareSameType implements starlark.Comparable: == and != only.
func (o *Object) CompareSameType(op syntaxToken, y starlark.Value, _ int) (bool, error) {
	return compareEqual(op, o.typ, bytes.Equal(o.raw, y.(*Object).raw))
}

// Opaque is a value of a constructor: a secret, a target. Policies and sites can
// pass it on and nothing else; it prints as its type.
type Opaque struct{ v TypeNamed }

// NewOpaque wraps v.
func NewOpaque(v TypeNamed) Opaque { return Opaque{v} }

// Value gives what was wrapped.
func (o Opaque) Value() any            { return o.v }
func (o Opaque) String() string        { return "<" + o.v.StarlarkType() + ">" }
func (o Opaque) Type() string          { return o.v.StarlarkType() }
func (o Opaque) Freeze()               {}
func (o Opaque) Truth() starlark.Bool  { return true }
func (o Opaque) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable type: %s", o.Type()) }

// encodeResult gives the recorded form of a result. Values whose Go type has a
// name in Starlark carry it as "$type".
func encodeResult(v any) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage("null"), nil
	}
	tree, err := tagged(reflect.ValueOf(v))
	if err != nil {
		return nil, err
	}
	return ledger.Canonical(tree)
}

func tagged(v reflect.Value) (any, error) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	if n, ok := v.Interface().(TypeNamed); ok {
		raw, err := ledger.Canonical(v.Interface())
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 || raw[0] != '{' {
			return nil, fmt.Errorf("a %s is recorded as an object, got %.40s", n.StarlarkType(), raw)
		}
		out := append([]byte(`{"$type":`), strconv.Quote(n.StarlarkType())...)
		if len(raw) > len("{}") {
			out = append(out, ',')
		}
		return json.RawMessage(append(out, raw[1:]...)), nil
	}
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		out := make([]any, v.Len())
		for i := range out {
			x, err := tagged(v.Index(i))
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case v.Kind() == reflect.Map:
		out := map[string]any{}
		for _, k := range v.MapKeys() {
			x, err := tagged(v.MapIndex(k))
			if err != nil {
				return nil, err
			}
			out[k.String()] = x
		}
		return out, nil
	}
	return v.Interface(), nil
}

// decodeResult turns a recorded value into a frozen Starlark value.
func decodeResult(raw json.RawMessage) (starlark.Value, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("decode recorded result: %w", err)
	}
	v, err := toStarlark(tree)
	if err == nil {
		v.Freeze()
	}
	return v, err
}

// FromJSON turns JSON into a frozen Starlark value; objects become dicts.
func FromJSON(raw json.RawMessage) (starlark.Value, error) { return decodeResult(raw) }

func toStarlark(x any) (starlark.Value, error) {
	switch x := x.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(x), nil
	case string:
		return starlark.String(x), nil
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return starlark.MakeInt64(n), nil
		}
		f, err := x.Float64()
		return starlark.Float(f), err
	case []any:
		out := make([]starlark.Value, len(x))
		for i, e := range x {
			v, err := toStarlark(e)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return starlark.NewList(out), nil
	case map[string]any:
		if typ, ok := x["$type"].(string); ok {
			return toObject(typ, x)
		}
		return toDict(x)
	}
	return nil, fmt.Errorf("decode recorded result: unexpected %T", x)
}

func toObject(typ string, x map[string]any) (starlark.Value, error) {
	if typ == "time" {
		s, _ := x["at"].(string)
		t, err := parseTime(s)
		return Time{t}, err
	}
	delete(x, "$type")
	raw, err := ledger.Canonical(x)
	if err != nil {
		return nil, err
	}
	o := &Object{typ: typ, raw: raw, attrs: starlark.StringDict{}}
	for k, e := range x {
		if s, ok := e.(string); ok && len(s) >= 20 && s[4] == '-' && s[10] == 'T' {
			if t, err := parseTime(s); err == nil {
				o.attrs[k] = Time{t}
				continue
			}
		}
		v, err := toStarlark(e)
		if err != nil {
			return nil, err
		}
		v.Freeze()
		o.attrs[k] = v
	}
	return o, nil
}

// NewObject makes a value of a type with attributes; texts that are times become
// times.
func NewObject(typ string, attrs map[string]any) (starlark.Value, error) {
	attrs["$type"] = typ
	return toObject(typ, attrs)
}

func toDict(x map[string]any) (starlark.Value, error) {
	keys := make([]string, 0, len(x))
	for k := range x {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	d := starlark.NewDict(len(x))
	for _, k := range keys {
		v, err := toStarlark(x[k])
		if err != nil {
			return nil, err
		}
		if err := d.SetKey(starlark.String(k), v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

const maxDepth = 64

// Plain turns a Starlark value into Go data that encodes as JSON.
func Plain(v starlark.Value) (any, error) { return toGo(v) }

// toGo turns a Starlark value into plain Go data that encodes as JSON.
func toGo(v starlark.Value) (any, error) { return toGoDepth(v, 0) }

func toGoDepth(v starlark.Value, depth int) (any, error) {
	if depth > maxDepth {
		return nil, limitError("the depth of a value", maxDepth, "no flag: flatten it")
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Int:
		return json.Number(v.String()), nil
	case starlark.Float:
		return float64(v), nil
	case Time:
		return map[string]any{"$type": "time", "at": v.text()}, nil
	case *Object:
		m := map[string]any{}
		dec := json.NewDecoder(bytes.NewReader(v.raw))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			return nil, err
		}
		m["$type"] = v.typ
		return m, nil
	case *unknownValue:
		return nil, v.end()
	case *starlark.Dict:
		out := map[string]any{}
		for _, kv := range v.Items() {
			k, ok := starlark.AsString(kv[0])
			if !ok {
				return nil, fmt.Errorf("dict key %s: got %s, want string", kv[0], kv[0].Type())
			}
			x, err := toGoDepth(kv[1], depth+1)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	case starlark.Iterable:
		out := []any{}
		it := v.Iterate()
		defer it.Done()
		var e starlark.Value
		for it.Next(&e) {
			x, err := toGoDepth(e, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s cannot be recorded", v.Type())
}
