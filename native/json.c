/* JSON (RFC 8259), strictly: no key twice, no NaN, no lone surrogate, no NUL character, no control character.
 *
 * What is wrong is a ValueError of two arguments: the words that Python's json has for it and the place, from 0; or
 * DUPLICATE and the key, CONSTANT and its name, SURROGATE or NUL and the place.
 */
#include "module.h"

struct reader {
    int kind;         /* 1, 2 or 4 bytes for each character */
    const void *data; /* of the str */
    Py_ssize_t at, end;
    const char *bad; /* of a string that is JSON, and that no system call can take; told if nothing else is wrong */
    Py_ssize_t bad_at;
};

static PyObject *value(struct reader *r);

static PyObject *wrong(const char *what, Py_ssize_t at)
{
    PyObject *args = Py_BuildValue("sn", what, at);

    if (args != NULL) {
        PyErr_SetObject(PyExc_ValueError, args);
        Py_DECREF(args);
    }
    return NULL;
}

static PyObject *wrong_with(const char *what, PyObject *which)
{
    PyObject *args = Py_BuildValue("sO", what, which);

    if (args != NULL) {
        PyErr_SetObject(PyExc_ValueError, args);
        Py_DECREF(args);
    }
    return NULL;
}

/* Return the character at place AT, or 0, which stands in no document, at the end. */
static inline Py_UCS4 peek(const struct reader *r)
{
    return r->at < r->end ? PyUnicode_READ(r->kind, r->data, r->at) : 0;
}

static void skip_blank(struct reader *r)
{
    Py_UCS4 c = peek(r);

    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        r->at++;
        c = peek(r);
    }
}

/* Read four hexadecimal digits; return -1 if they are none. */
static long hexadecimal(struct reader *r)
{
    long number = 0;
    int i;

    for (i = 0; i < 4; i++, r->at++) {
        Py_UCS4 c = peek(r);
        if (c >= '0' && c <= '9')
            number = number * 16 + (long)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number * 16 + (long)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            number = number * 16 + (long)(c - 'A') + 10;
        else
            return -1;
    }
    return number;
}

/* Read four digits of an escape whose backslash is at START. Returns -1 with an exception if they are none. */
static long escaped_number(struct reader *r, Py_ssize_t start)
{
    long number = r->end - r->at > 4 ? hexadecimal(r) : -1; /* something must follow: at the least, a quote */

    if (number < 0)
        wrong("Invalid \\uXXXX escape", start + 1);
    return number;
}

/* Read the escape of a low surrogate, if one stands at the place; return it, 0 if there is none, -1 with an exception. */
static long low_half(struct reader *r)
{
    Py_ssize_t start = r->at;
    long low;

    if (r->end - start <= 6 || peek(r) != '\\' || PyUnicode_READ(r->kind, r->data, start + 1) != 'u')
        return 0;
    r->at += 2;
    low = escaped_number(r, start);
    if (low < 0 || (low >= 0xDC00 && low <= 0xDFFF))
        return low;
    r->at = start;
    return 0;
}

/* Read what follows the backslash at START; return the character, or -1 with an exception. */
static long escaped(struct reader *r, Py_ssize_t start)
{
    Py_UCS4 c = peek(r);
    long high, low;

    r->at++;
    switch (c) {
    case '"': case '\\': case '/': return (long)c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: wrong("Invalid \\escape", start); return -1;
    }
    high = escaped_number(r, start);
    if (high < 0 || (high > 0 && (high < 0xD800 || high > 0xDFFF)))
        return high;
    low = high >= 0xD800 && high <= 0xDBFF ? low_half(r) : 0;
    if (low != 0)
        return low < 0 ? -1 : 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    if (r->bad == NULL) {
        r->bad = high == 0 ? "NUL" : "SURROGATE";
        r->bad_at = start;
    }
    return high;
}

/* Say what is wrong with a string that begins at START and is not closed at the place. */
static PyObject *unclosed(const struct reader *r, Py_ssize_t start)
{
    if (r->at >= r->end)
        return wrong("Unterminated string starting at", start - 1);
    return wrong("Invalid control character at", r->at);
}

/* Read a string with escapes, which begins at START, and in which the place is at the first backslash. */
static PyObject *escaped_string(struct reader *r, Py_ssize_t start)
{
    Py_ssize_t room = r->end - start, used = 0, i;
    Py_UCS4 *made = PyMem_New(Py_UCS4, (size_t)room);
    PyObject *result = NULL;

    if (made == NULL)
        return PyErr_NoMemory();
    for (i = start; i < r->at; i++)
        made[used++] = PyUnicode_READ(r->kind, r->data, i);
    for (;;) {
        Py_UCS4 c = peek(r);
        long number = (long)c;
        if (c == '"' || c < ' ')
            break;
        r->at++;
        if (c == '\\') {
            if (r->at >= r->end)
                break;
            number = escaped(r, r->at - 1);
            if (number < 0)
                goto done;
        }
        made[used++] = (Py_UCS4)number;
    }
    if (peek(r) != '"') {
        unclosed(r, start);
        goto done;
    }
    r->at++;
    result = PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, made, used);
done:
    PyMem_Free(made);
    return result;
}

/* Read a string, of which the opening quote has been read. */
static PyObject *string(struct reader *r)
{
    Py_ssize_t start = r->at;
    Py_UCS4 c = peek(r);

    while (c != '"' && c != '\\' && c >= ' ') {
        r->at++;
        c = peek(r);
    }
    if (c == '\\')
        return escaped_string(r, start);
    if (c != '"')
        return unclosed(r, start);
    r->at++;
    return PyUnicode_FromKindAndData(r->kind, (const char *)r->data + start * r->kind, r->at - 1 - start);
}

static Py_ssize_t digits(struct reader *r)
{
    Py_ssize_t start = r->at;

    while (peek(r) >= '0' && peek(r) <= '9')
        r->at++;
    return r->at - start;
}

/* Make a number of the ASCII characters from START to the place. */
static PyObject *made_number(const struct reader *r, Py_ssize_t start, int is_float)
{
    PyObject *text = PyUnicode_FromKindAndData(r->kind, (const char *)r->data + start * r->kind, r->at - start);
    PyObject *number = NULL;

    if (text != NULL) {
        number = is_float ? PyFloat_FromString(text) : PyLong_FromUnicodeObject(text, 10);
        Py_DECREF(text);
    }
    return number;
}

static PyObject *number(struct reader *r)
{
    Py_ssize_t start = r->at, mark;
    int is_float = 0;

    if (peek(r) == '-')
        r->at++;
    if (peek(r) == '0')
        r->at++;
    else if (digits(r) == 0)
        return wrong("Expecting value", start);
    /* What only begins like a fraction or an exponent belongs to what follows, where nothing takes it. */
    mark = r->at;
    if (peek(r) == '.') {
        r->at++;
        if (digits(r) == 0)
            r->at = mark;
        else
            is_float = 1;
    }
    mark = r->at;
    if (peek(r) == 'e' || peek(r) == 'E') {
        r->at++;
        if (peek(r) == '+' || peek(r) == '-')
            r->at++;
        if (digits(r) == 0)
            r->at = mark;
        else
            is_float = 1;
    }
    return made_number(r, start, is_float);
}

/* Return whether WORD stands at the place, and go past it if so. */
static int word(struct reader *r, const char *word_)
{
    Py_ssize_t start = r->at;

    for (; *word_ != '\0'; word_++, r->at++)
        if (peek(r) != (Py_UCS4)*word_) {
            r->at = start;
            return 0;
        }
    return 1;
}

/* Read a number or a name of a value. */
static PyObject *plain(struct reader *r)
{
    static const char *const refused[] = {"NaN", "Infinity", "-Infinity"};
    size_t i;

    if (word(r, "true"))
        return Py_NewRef(Py_True);
    if (word(r, "false"))
        return Py_NewRef(Py_False);
    if (word(r, "null"))
        return Py_NewRef(Py_None);
    for (i = 0; i < sizeof refused / sizeof *refused; i++)
        if (word(r, refused[i])) {
            PyObject *name = PyUnicode_FromString(refused[i]);
            if (name != NULL)
                wrong_with("CONSTANT", name);
            Py_XDECREF(name);
            return NULL;
        }
    return number(r);
}

#define SAYS_TRAILING_COMMA (PY_VERSION_HEX >= 0x030D0000) /* what json says of it, before it looks for what is missing */

/* Whether another one follows in what CLOSE ends: 1 after a comma, 0 after CLOSE, -1 with an exception. */
static int goes_on(struct reader *r, Py_UCS4 close)
{
    Py_ssize_t comma;
    Py_UCS4 c;

    skip_blank(r);
    c = peek(r);
    if (c != close && c != ',') {
        wrong("Expecting ',' delimiter", r->at);
        return -1;
    }
    comma = r->at++;
    if (c == close)
        return 0;
    skip_blank(r);
    if (SAYS_TRAILING_COMMA && peek(r) == close) {
        wrong(close == ']' ? "Illegal trailing comma before end of array" : "Illegal trailing comma before end of object", comma);
        return -1;
    }
    return 1;
}

/* Read an array, of which the bracket has been read. */
static PyObject *array(struct reader *r)
{
    PyObject *made = PyList_New(0);
    int more;

    if (made == NULL)
        return NULL;
    skip_blank(r);
    if (peek(r) == ']') {
        r->at++;
        return made;
    }
    do {
        PyObject *item = value(r);
        int failed = item == NULL || PyList_Append(made, item) < 0;
        Py_XDECREF(item);
        more = failed ? -1 : goes_on(r, ']');
    } while (more > 0);
    if (more == 0)
        return made;
    Py_DECREF(made);
    return NULL;
}

/* Read one name and its value into MADE. Returns 0, or -1 with an exception. */
static int member(struct reader *r, PyObject *made)
{
    PyObject *key, *item = NULL;
    int status = -1;

    skip_blank(r);
    if (peek(r) != '"') {
        wrong("Expecting property name enclosed in double quotes", r->at);
        return -1;
    }
    r->at++;
    key = string(r);
    if (key == NULL)
        return -1;
    PyUnicode_InternInPlace(&key);
    skip_blank(r);
    if (peek(r) != ':') {
        wrong("Expecting ':' delimiter", r->at);
    } else {
        r->at++;
        item = value(r);
    }
    if (item != NULL) {
        int there = PyDict_Contains(made, key);
        if (there > 0)
            wrong_with("DUPLICATE", key);
        else if (there == 0)
            status = PyDict_SetItem(made, key, item);
    }
    Py_XDECREF(item);
    Py_DECREF(key);
    return status;
}

/* Read an object, of which the brace has been read. */
static PyObject *object(struct reader *r)
{
    PyObject *made = PyDict_New();
    int more;

    if (made == NULL)
        return NULL;
    skip_blank(r);
    if (peek(r) == '}') {
        r->at++;
        return made;
    }
    do
        more = member(r, made) < 0 ? -1 : goes_on(r, '}');
    while (more > 0);
    if (more == 0)
        return made;
    Py_DECREF(made);
    return NULL;
}

static PyObject *value(struct reader *r)
{
    PyObject *made;
    Py_UCS4 c;

    skip_blank(r);
    c = peek(r);
    switch (c) {
    case '"': r->at++; return string(r);
    case '{': case '[': break;
    default: return plain(r);
    }
    if (Py_EnterRecursiveCall(" while reading JSON"))
        return NULL;
    r->at++;
    made = c == '{' ? object(r) : array(r);
    Py_LeaveRecursiveCall();
    return made;
}

PyObject *json_scan(PyObject *module, PyObject *text)
{
    struct reader r;
    PyObject *made;

    (void)module;
    if (!PyUnicode_Check(text) || PyUnicode_READY(text) < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a str");
        return NULL;
    }
    r.kind = PyUnicode_KIND(text);
    r.data = PyUnicode_DATA(text);
    r.at = 0;
    r.end = PyUnicode_GET_LENGTH(text);
    r.bad = NULL;
    r.bad_at = 0;
    made = value(&r);
    skip_blank(&r);
    if (made != NULL && r.at < r.end) {
        Py_DECREF(made);
        return wrong("Extra data", r.at);
    }
    if (made != NULL && r.bad != NULL) {
        Py_DECREF(made);
        return wrong(r.bad, r.bad_at);
    }
    return made;
}
