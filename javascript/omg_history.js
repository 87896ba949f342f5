// Undo and redo of immutable snapshots. Pure: every function returns a new history.
(() => {
    const LIMIT = 100;

    /** A history that begins with `present`; it keeps `limit` steps back at most. */
    function create(present, limit = LIMIT) {
        return {past: [], present, future: [], limit};
    }

    /** The history after a change to `present`; what was undone before is gone. The same snapshot again changes nothing. */
    function push(history, present) {
        if (present === history.present) return history;
        const past = [...history.past, history.present].slice(-history.limit);
        return {...history, past, present, future: []};
    }

    const canUndo = (history) => history.past.length > 0;
    const canRedo = (history) => history.future.length > 0;

    /** One step back; the same history if there is none. */
    function undo(history) {
        if (!canUndo(history)) return history;
        return {
            ...history,
            past: history.past.slice(0, -1),
            present: history.past.at(-1),
            future: [history.present, ...history.future],
        };
    }

    /** One step forth again; the same history if there is none. */
    function redo(history) {
        if (!canRedo(history)) return history;
        const [present, ...future] = history.future;
        return {...history, past: [...history.past, history.present], present, future};
    }

    globalThis.omg ??= {};
    globalThis.omg.history = {LIMIT, create, push, undo, redo, canUndo, canRedo};
})();
