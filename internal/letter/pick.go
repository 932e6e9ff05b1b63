package letter

import "unicode/utf8"

// has tells whether an object has a key.
func (w *work) has(object, key any) (any, error) {
	o, first := object.(map[string]any)
	k, second := key.(string)
	if !first || !second {
		return nil, complain("has takes an object and the name of a field: has . \"note\"")
	}
	_, found := o[k]
	return found, w.look(k)
}

// index gives one of a list, counted from 0, or a field of an object.
func (w *work) index(from, key any) (any, error) {
	key = constant(key)
	if err := w.look(key); err != nil {
		return nil, err
	}
	switch from := from.(type) {
	case []any:
		i, ok := key.(int64)
		if !ok {
			return nil, complain("index takes a number into a list, not %s", kind(key))
		}
		if i < 0 || i >= int64(len(from)) {
			return nil, complain("index: the list has %d elements, and none at %d", len(from), i)
		}
		return from[i], nil
	case map[string]any:
		name, ok := key.(string)
		if !ok {
			return nil, complain("index takes a name into an object, not %s", kind(key))
		}
		v, found := from[name]
		if !found {
			return nil, complain("index: the object has no %q", excerpt(name))
		}
		return v, nil
	}
	return nil, complain("index looks into lists and objects, not %s", kind(constant(from)))
}

// length counts the characters of a text, or what a list or an object has.
func (w *work) length(v any) (any, error) {
	if err := w.look(v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return int64(0), nil
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case []any:
		return int64(len(v)), nil
	case map[string]any:
		return int64(len(v)), nil
	}
	return nil, complain("len counts texts, lists and objects, not %s", kind(constant(v)))
}

// byDefault gives a value unless it is null, blank or empty, and else what stands for it.
func (w *work) byDefault(instead, v any) (any, error) {
	if err := w.look(v); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return instead, nil
	case string:
		if v == "" {
			return instead, nil
		}
	case []any:
		if len(v) == 0 {
			return instead, nil
		}
	case map[string]any:
		if len(v) == 0 {
			return instead, nil
		}
	}
	return v, nil
}
