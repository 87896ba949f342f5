// A mask restored from PNG info is a text; its canvas can only be drawn while it is in view. Ask for it when it comes into view.
onUiLoaded(() => {
    const observer = new IntersectionObserver((entries) => {
        for (const entry of entries) {
            if (entry.isIntersecting && !entry.target.querySelector("canvas")) {
                gradioApp().getElementById(`${entry.target.id}_draw`)?.click();
            }
        }
    });
    const canvases = gradioApp().querySelectorAll('[id^="txt2img_omg_concept"][id$="_mask_picture"]');
    canvases.forEach((canvas) => observer.observe(canvas));
});
